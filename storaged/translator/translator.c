/* features/sluice-io: how it is set up, and its table of operations. docs/translator.md is its manual. */
#include "translator.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi.h"
#include "room.h"

enum { memory_types_end = gf_common_mt_end + 1 };

static struct client *the_client;
static pthread_mutex_t setting_up = PTHREAD_MUTEX_INITIALIZER;

static void go(void *request) { call_resume(request); }

static void fail(void *request) {
  call_stub_t *stub = request;
  stub->frame->local = NULL;
  call_unwind_error(stub, -1, EINTR);
}

bool hold(call_frame_t *frame, const xlator_t *this, enum lane lane, const struct charge *charge, bool harmless,
          call_stub_t *request) {
  if (request == NULL) return false;
  struct waiting *waiting = calloc(1, sizeof *waiting);
  if (waiting == NULL) {
    call_stub_destroy(request);
    return false;
  }
  waiting->owed = *charge;
  waiting->arrived = (ticks)(intptr_t)frame->local;
  waiting->thread = frame->root->pid;
  waiting->harmless = harmless;
  waiting->request = request;
  gate_queue(&client_of(this)->gate, lane, waiting);
  return true;
}

/* The secret in the file's first line. Without one nobody may ask or set anything. */
static bool read_token(xlator_t *this, const char *path, char token[TOKEN_ROOM]) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t length = file < 0 ? -1 : read(file, token, TOKEN_ROOM - 1);
  int failed = errno;
  struct stat is;
  bool is_secret = file >= 0 && fstat(file, &is) == 0 && (is.st_mode & 077) == 0;
  if (file >= 0) close(file);
  if (length < 0) {
    gf_log(this->name, GF_LOG_ERROR, "the token's file cannot be read: %s", strerror(failed));
    return false;
  }
  if (!is_secret) {
    gf_log(this->name, GF_LOG_ERROR, "the token's file may be read by others than its owner");
    return false;
  }
  token[length] = '\0';
  token[strcspn(token, "\n")] = '\0';
  return true;
}

static bool add_parents(xlator_t *this, struct gate *gate, const char *paths) {
  char *list = strdup(paths), *rest = list;
  bool well = list != NULL;
  for (char *path; well && (path = strsep(&rest, ":")) != NULL;) {
    if (*path == '\0') continue;
    const char *why = "there are too many";
    struct shared_bucket *parent = shared_bucket_map(path, &why);
    well = parent != NULL && gate_add_parent(gate, parent);
    if (!well) gf_log(this->name, GF_LOG_ERROR, "shared bucket %s: %s", path, why);
  }
  free(list);
  return well;
}

/* Options are texts to Gluster, too; an unsigned one has no type of its own there. */
static bool limits_of_options(xlator_t *this, dict_t *options, struct limits *limits) {
  for (int i = 0; i <= DIMENSIONS; i++) {
    const char *name = i < DIMENSIONS ? dimension_name((enum dimension)i) : "burst-ms";
    char *value = NULL, text[64];
    if (dict_get_str(options, (char *)name, &value) != 0) continue;
    int length = snprintf(text, sizeof text, "%s=%s", name, value);
    if (length < (int)sizeof text && limits_parse(text, (size_t)length, limits)) continue;
    gf_log(this->name, GF_LOG_ERROR, "option %s: '%s' is no rate", name, value);
    return false;
  }
  return true;
}

static bool apply_options(xlator_t *this, struct client *client, dict_t *options) {
  struct limits limits = {.burst_ms = DEFAULT_BURST_MS};
  if (!limits_of_options(this, options, &limits)) return false;
  if (!client->set_live) gate_set_limits(&client->gate, &limits, gate_now());
  return true;
}

static struct client *new_client(xlator_t *this) {
  struct client *client = NULL;
  if (posix_memalign((void **)&client, 64, sizeof *client) != 0) return NULL;
  memset(client, 0, sizeof *client);
  char *parents = NULL, *token = NULL;
  bool well = gate_init(&client->gate, go, fail);
  if (well && dict_get_str(this->options, "parents", &parents) == 0) well = add_parents(this, &client->gate, parents);
  if (well && dict_get_str(this->options, "token", &token) == 0) well = read_token(this, token, client->token);
  pthread_t thread;
  if (well && gf_thread_create(&thread, NULL, gate_pace, &client->gate, "sluicepace") == 0) return client;
  free(client);
  return NULL;
}

/*
 * Gluster puts the translator `meta` above all others of a mount; it shows the process's inside to anybody, in a directory
 * .meta. It cannot be left out; but it is in this graph already, and can be made to do what a translator does that has
 * no operations of its own: hand on.
 */
static void shut_meta(xlator_t *this) {
  for (xlator_t *each = this->graph->first; each != NULL; each = each->next)
    if (strcmp(each->type, "meta") == 0) each->fops = default_fops;
}

static bool is_in_brick(xlator_t *this) {
  char *role = NULL;
  return dict_get_str(this->options, "role", &role) == 0 && strcmp(role, "brick") == 0;
}

static int32_t init(xlator_t *this) {
  const char *difference = abi_difference(this);
  if (difference != NULL) {
    gf_log("sluice-io", GF_LOG_CRITICAL, "built for another libglusterfs: %s; run 'make' with the headers of the installed one",
           difference);
    return -1;
  }
  if (this->children == NULL || this->children->next != NULL) {
    gf_log(this->name, GF_LOG_ERROR, "must stand above exactly one other translator");
    return -1;
  }
  if (is_in_brick(this)) return room_init(this);
  shut_meta(this);
  pthread_mutex_lock(&setting_up);
  if (the_client == NULL) the_client = new_client(this);
  struct client *client = the_client;
  pthread_mutex_unlock(&setting_up);
  if (client == NULL || !apply_options(this, client, this->options)) return -1;
  this->private = client;
  return 0;
}

static int32_t reconfigure(xlator_t *this, dict_t *options) {
  return is_in_brick(this) || apply_options(this, client_of(this), options) ? 0 : -1;
}

/* What the old graph's requests still need must stay. */
static void fini(xlator_t *this) {
  if (is_in_brick(this)) room_fini(this);
  this->private = NULL;
}

static int32_t count_memory(xlator_t *this) { return xlator_mem_acct_init(this, memory_types_end); }

static struct xlator_fops operations = {
    .readv = sluice_readv,
    .writev = sluice_writev,
    .fallocate = sluice_fallocate,
    .discard = sluice_discard,
    .zerofill = sluice_zerofill,
    .copy_file_range = sluice_copy_file_range,
    .lookup = sluice_lookup,
    .create = sluice_create,
    .mknod = sluice_mknod,
    .mkdir = sluice_mkdir,
    .unlink = sluice_unlink,
    .rmdir = sluice_rmdir,
    .symlink = sluice_symlink,
    .rename = sluice_rename,
    .link = sluice_link,
    .open = sluice_open,
    .opendir = sluice_opendir,
    .readdir = sluice_readdir,
    .readdirp = sluice_readdirp,
    .readlink = sluice_readlink,
    .stat = sluice_stat,
    .fstat = sluice_fstat,
    .access = sluice_access,
    .statfs = sluice_statfs,
    .seek = sluice_seek,
    .lk = sluice_lk,
    .flush = sluice_flush,
    .fsync = sluice_fsync,
    .fsyncdir = sluice_fsyncdir,
    .truncate = sluice_truncate,
    .ftruncate = sluice_ftruncate,
    .setattr = sluice_setattr,
    .fsetattr = sluice_fsetattr,
    .getxattr = sluice_getxattr,
    .fgetxattr = sluice_fgetxattr,
    .setxattr = sluice_setxattr,
    .fsetxattr = sluice_fsetxattr,
    .removexattr = sluice_removexattr,
    .fremovexattr = sluice_fremovexattr,
};

static struct xlator_cbks callbacks = {0};

#define OPTION(NAME, WHAT)                                                                                       \
  {.key = {NAME}, .type = GF_OPTION_TYPE_STR, .op_version = {1}, .flags = OPT_FLAG_SETTABLE, .description = WHAT}

static struct volume_options options[] = {
    OPTION("read-bytes", "bytes a second that may be read; 0: without limit"),
    OPTION("write-bytes", "bytes a second that may be written; 0: without limit"),
    OPTION("read-ops", "operations a second that read; 0: without limit"),
    OPTION("write-ops", "operations a second that write; 0: without limit"),
    OPTION("burst-ms", "for how long unused rate is kept"),
    OPTION("parents", "files of buckets shared with other clients, separated by colons"),
    OPTION("role", "'brick': it stands above a disk, and keeps its last room for names; by default in a client"),
    OPTION("token", "file with the secret that limits and statistics are asked by"),
    {.key = {NULL}},
};

__attribute__((visibility("default"))) xlator_api_t xlator_api = {
    .init = init,
    .fini = fini,
    .reconfigure = reconfigure,
    .mem_acct_init = count_memory,
    .op_version = {1},
    .fops = &operations,
    .cbks = &callbacks,
    .options = options,
    .identifier = "sluice-io",
    .category = GF_MAINTAINED,
};
