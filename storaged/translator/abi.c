/*
 * Whether this library and libglusterfs agree on the structures that both touch (abi.h). The headers do not say with
 * which configuration the library was built, and a wrong guess moves fields without a word; so the library itself is
 * asked: for the size of its own objects (from its symbol table, and from the pools that it made) and for the places of
 * the operations in its own table.
 */
#include "abi.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <malloc.h>

extern xlator_t global_xlator;

/* What the symbol table says of it; 0 when it is not found. */
static size_t size_of_symbol(const void *object) {
  Dl_info info;
  void *symbol = NULL;
  if (dladdr1(object, &info, &symbol, RTLD_DL_SYMENT) == 0 || symbol == NULL) return 0;
  return ((const ElfW(Sym) *)symbol)->st_size;
}

/* malloc rounds up to 16 bytes, and keeps 8 of them. */
static bool fits_allocation(void *object, size_t size) {
  size_t room = malloc_usable_size(object);
  return room >= size && room < size + 32;
}

static bool is_pool_of(const struct mem_pool *pool, size_t size) { return pool != NULL && pool->sizeof_type == size; }

/* The first, the last, and those whose neighbours have come and gone between versions. */
static bool operations_are_in_place(void) {
  return default_fops->stat == default_stat && default_fops->readv == default_readv &&
         default_fops->writev == default_writev && default_fops->lookup == default_lookup &&
         default_fops->setattr == default_setattr && default_fops->readdirp == default_readdirp &&
         default_fops->fallocate == default_fallocate && default_fops->discard == default_discard &&
         default_fops->zerofill == default_zerofill && default_fops->seek == default_seek &&
         default_fops->copy_file_range == default_copy_file_range;
}

const char *abi_difference(xlator_t *this) {
  if (size_of_symbol(&global_xlator) != sizeof(xlator_t)) return "xlator_t has another size";
  if (!operations_are_in_place()) return "the table of operations is ordered otherwise";
  glusterfs_ctx_t *ctx = this->ctx;
  if (ctx == NULL || !fits_allocation(ctx, sizeof *ctx)) return "glusterfs_ctx_t has another size";
  if (!is_pool_of(ctx->dict_pool, sizeof(dict_t))) return "dict_t has another size";
  if (!is_pool_of(ctx->dict_data_pool, sizeof(data_t))) return "data_t has another size";
  if (!is_pool_of(ctx->stub_mem_pool, sizeof(call_stub_t))) return "call_stub_t has another size";
  if (ctx->pool == NULL || !is_pool_of(ctx->pool->frame_mem_pool, sizeof(call_frame_t)))
    return "call_frame_t has another size";
  if (!is_pool_of(ctx->pool->stack_mem_pool, sizeof(call_stack_t))) return "call_stack_t has another size";
  return NULL;
}
