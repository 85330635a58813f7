/*
 * The userland plane's work at one packet queue, in C: reads packets, tags what leaves and checks and untags what comes,
 * for one tenant. What the benchmarks P4 compare tagqueue/nfqueue/worker.ts with: the same system calls, batches, hash
 * and checks, and no copies of packets either.
 *
 *   nfqloop QUEUE POOL/BITS BLOCK/BITS MARK_MASK MARK TENANT
 */
#define _GNU_SOURCE /* recvmmsg */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>


#define SLOTS 32
#define HEADROOM 64
#define DATAGRAM (0xffff + 512)
#define SLOT ((HEADROOM + DATAGRAM + 127) / 64 * 64)
#define VERDICT_BYTES 40
#define MANGLED_BYTES 44
#define SEND_BYTES (256 * 1024)
#define TAG_BYTES 16
#define TAG_OPTION 0x9e

static unsigned char slots[SLOTS][SLOT] __attribute__((aligned(64)));
static unsigned char verdicts[SLOTS][VERDICT_BYTES] __attribute__((aligned(8)));
static struct iovec outgoing[SLOTS];
static unsigned pending;
static size_t pending_bytes;

static int queue;
static uint32_t pool, pool_mask, block, block_mask, mark_mask, mark, tenant;
/* Any key does: both ends are this program. */
static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
static const unsigned char epoch = 1;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t rotate(uint64_t x, int bits) {
  return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t *v) {
  v[0] += v[1]; v[1] = rotate(v[1], 13) ^ v[0]; v[0] = rotate(v[0], 32);
  v[2] += v[3]; v[3] = rotate(v[3], 16) ^ v[2];
  v[0] += v[3]; v[3] = rotate(v[3], 21) ^ v[0];
  v[2] += v[1]; v[1] = rotate(v[1], 17) ^ v[2]; v[2] = rotate(v[2], 32);
}

static uint64_t siphash(uint64_t first, uint64_t second) {
  const uint64_t words[3] = {first, second, 16ULL << 56};
  uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                   key[1] ^ 0x7465646279746573};
  for (int i = 0; i < 3; i++) {
    v[3] ^= words[i];
    sip_round(v);
    sip_round(v);
    v[0] ^= words[i];
  }
  v[2] ^= 0xff;
  for (int i = 0; i < 4; i++) sip_round(v);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint16_t get16(const unsigned char *at) {
  return at[0] << 8 | at[1];
}
static void put16(unsigned char *at, uint16_t value) {
  at[0] = value >> 8;
  at[1] = value;
}
static uint32_t get32(const unsigned char *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return ntohl(value);
}
static void put32(unsigned char *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
}

static uint64_t tag_mac(const unsigned char *ip) {
  uint64_t addresses;
  uint32_t owner;
  memcpy(&addresses, ip + 12, 8);
  memcpy(&owner, ip + 24, 4);
  uint64_t rest = ip[22] | ip[23] << 8 | (uint32_t)ip[9] << 16;
  return siphash(addresses, rest | (uint64_t)(owner & ~0xffU) << 32);
}

static uint32_t sum_of_tag(const unsigned char *tag) {
  uint32_t sum = 0;
  for (int i = 0; i < TAG_BYTES; i += 2) sum += get16(tag + i);
  return sum;
}

static void resize(unsigned char *ip, int words, uint16_t total, uint32_t change) {
  uint16_t first = get16(ip), resized = (first & 0xf0ff) | words << 8;
  uint32_t sum = (uint16_t)~get16(ip + 10) + change + (uint16_t)~first + (uint16_t)~get16(ip + 2) + resized + total;
  for (int i = 0; i < 4; i++) sum = (sum & 0xffff) + (sum >> 16);
  put16(ip, resized);
  put16(ip + 2, total);
  put16(ip + 10, ~sum);
}

static bool in_pool(uint32_t address) {
  return (address & pool_mask) == pool;
}

/* Moves `*packet` to where the tagged packet begins. */
static bool judge_out(unsigned char **packet, size_t *length, uint32_t *of_mark) {
  unsigned char *ip = *packet;
  if (*length < 20) return false;
  if (!in_pool(get32(ip + 16))) return !in_pool(get32(ip + 12));
  if ((*of_mark & mark_mask) != mark) return false;
  if ((get32(ip + 12) & block_mask) != block || (ip[0] & 15) != 5) return false;
  uint32_t total = get16(ip + 2) + TAG_BYTES;
  if (total > 0xffff) return false;

  unsigned char *at = ip - TAG_BYTES;
  memmove(at, ip, 20);
  put16(at + 20, TAG_OPTION << 8 | TAG_BYTES);
  at[22] = 1;
  at[23] = epoch;
  put32(at + 24, tenant);
  uint64_t mac = tag_mac(at);
  memcpy(at + 28, &mac, 8);
  resize(at, 9, total, sum_of_tag(at + 20));
  *packet = at;
  *length += TAG_BYTES;
  *of_mark &= ~mark_mask;
  return true;
}

static bool judge_in(unsigned char **packet, size_t *length, uint32_t *of_mark) {
  unsigned char *ip = *packet;
  uint64_t mac;
  *of_mark &= ~mark_mask;
  if (*length < 20) return false;
  uint32_t source = get32(ip + 12);
  if (!in_pool(get32(ip + 16))) return !in_pool(source);
  if ((ip[0] & 15) != 9 || !in_pool(source) || (source & block_mask) == block) return false;
  uint16_t total = get16(ip + 2);
  if (*length < 36 || total < 36 || get16(ip + 20) != (TAG_OPTION << 8 | TAG_BYTES)) return false;
  if (get32(ip + 24) != tenant || ip[22] != 1 || ip[23] != epoch) return false;
  memcpy(&mac, ip + 28, 8);
  if (mac != tag_mac(ip)) return false;

  resize(ip, 5, total - TAG_BYTES, TAG_BYTES / 2 * 0xffff - sum_of_tag(ip + 20));
  memmove(ip + TAG_BYTES, ip, 20);
  *packet = ip + TAG_BYTES;
  *length -= TAG_BYTES;
  *of_mark |= mark;
  return true;
}

static void flush(int fd) {
  struct msghdr message = {.msg_iov = outgoing, .msg_iovlen = pending};
  if (pending == 0) return;
  while (sendmsg(fd, &message, 0) < 0)
    if (errno != EINTR) fail("sendmsg");
  pending = 0;
  pending_bytes = 0;
}

static void append(int fd, unsigned char *message, size_t length) {
  outgoing[pending].iov_base = message;
  outgoing[pending].iov_len = NLMSG_ALIGN(length);
  pending_bytes += NLMSG_ALIGN(length);
  pending++;
  if (pending == SLOTS || pending_bytes >= SEND_BYTES) flush(fd);
}

static void write_head(unsigned char *at, uint32_t id, uint32_t verdict, uint32_t of_mark, size_t length) {
  struct nlmsghdr *header = (struct nlmsghdr *)at;
  struct nfgenmsg *family = NLMSG_DATA(header);
  *header = (struct nlmsghdr){.nlmsg_len = length, .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
                              .nlmsg_flags = NLM_F_REQUEST};
  *family = (struct nfgenmsg){.res_id = htons(queue)};
  *(struct nlattr *)(at + 20) = (struct nlattr){12, NFQA_VERDICT_HDR};
  put32(at + 24, verdict);
  put32(at + 28, id);
  *(struct nlattr *)(at + 32) = (struct nlattr){8, NFQA_MARK};
  put32(at + 36, of_mark);
}

static void handle(int fd, unsigned char *message, size_t bytes) {
  struct nlmsghdr *header = (struct nlmsghdr *)message;
  unsigned char *packet = NULL;
  uint32_t id = 0, of_mark = 0;
  size_t length = 0;
  int hook = -1;
  if (header->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)) return;
  for (size_t at = 20; at + 4 <= bytes;) {
    struct nlattr *attribute = (struct nlattr *)(message + at);
    unsigned char *value = message + at + 4;
    switch (attribute->nla_type & NLA_TYPE_MASK) {
      case NFQA_PACKET_HDR: id = get32(value); hook = value[6]; break;
      case NFQA_MARK: of_mark = get32(value); break;
      case NFQA_PAYLOAD: packet = value; length = attribute->nla_len - 4; break;
    }
    at += NLA_ALIGN(attribute->nla_len);
  }
  if (packet == NULL) return;
  unsigned char *before = packet;
  bool passes = hook == NF_INET_PRE_ROUTING ? judge_in(&packet, &length, &of_mark)
                                            : judge_out(&packet, &length, &of_mark);
  if (passes && packet != before) {
    /* The kernel drops a changed packet that ends before the old header did. */
    for (; length < 20 + TAG_BYTES; length++) packet[length] = 0;
    unsigned char *start = packet - MANGLED_BYTES;
    write_head(start, id, NF_ACCEPT, of_mark, MANGLED_BYTES + length);
    *(struct nlattr *)(packet - 4) = (struct nlattr){length + 4, NFQA_PAYLOAD};
    append(fd, start, MANGLED_BYTES + length);
  } else {
    unsigned char *verdict = verdicts[pending];
    write_head(verdict, id, passes ? NF_ACCEPT : NF_DROP, of_mark, VERDICT_BYTES);
    append(fd, verdict, VERDICT_BYTES);
  }
}

static size_t put_attribute(unsigned char *at, int type, const void *value, size_t length) {
  *(struct nlattr *)at = (struct nlattr){length + 4, type};
  memcpy(at + 4, value, length);
  return NLA_ALIGN(length + 4);
}

static int open_queue(void) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  unsigned char request[256] = {0}, answer[4096];
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  int receive_bytes = 16 << 20, send_bytes = 4 * SEND_BYTES;
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address))) fail("netlink");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof(int))) fail("SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(int))) fail("SO_SNDBUFFORCE");

  struct nfqnl_msg_config_cmd bind_queue = {.command = NFQNL_CFG_CMD_BIND};
  struct nfqnl_msg_config_params params = {htonl(0xffff), NFQNL_COPY_PACKET};
  uint32_t longest = htonl(4096), flags = htonl(NFQA_CFG_F_FAIL_OPEN | NFQA_CFG_F_GSO), none = 0;
  size_t length = 20;
  length += put_attribute(request + length, NFQA_CFG_CMD, &bind_queue, sizeof(bind_queue));
  length += put_attribute(request + length, NFQA_CFG_PARAMS, &params, sizeof(params));
  length += put_attribute(request + length, NFQA_CFG_QUEUE_MAXLEN, &longest, 4);
  length += put_attribute(request + length, NFQA_CFG_MASK, &flags, 4);
  length += put_attribute(request + length, NFQA_CFG_FLAGS, &none, 4);
  struct nlmsghdr *header = (struct nlmsghdr *)request;
  *header = (struct nlmsghdr){.nlmsg_len = length, .nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
                              .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK};
  ((struct nfgenmsg *)NLMSG_DATA(header))->res_id = htons(queue);
  if (send(fd, request, length, 0) < 0) fail("bind queue");
  if (recv(fd, answer, sizeof(answer), 0) < 20) fail("bind queue");
  struct nlmsghdr *told = (struct nlmsghdr *)answer;
  int error = told->nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(told))->error : 0;
  errno = error;
  if (error) fail("bind queue");
  return fd;
}

static void read_block(const char *text, uint32_t *network, uint32_t *mask) {
  char address[32] = {0};
  const char *slash = strchr(text, '/');
  struct in_addr parsed;
  if (!slash || slash - text >= (long)sizeof(address)) exit(2);
  memcpy(address, text, slash - text);
  if (inet_pton(AF_INET, address, &parsed) != 1) exit(2);
  *mask = ~0U << (32 - atoi(slash + 1));
  *network = ntohl(parsed.s_addr) & *mask;
}

int main(int count, char **words) {
  static struct mmsghdr messages[SLOTS];
  static struct iovec incoming[SLOTS];
  if (count != 7) return 2;
  queue = atoi(words[1]);
  read_block(words[2], &pool, &pool_mask);
  read_block(words[3], &block, &block_mask);
  mark_mask = strtoul(words[4], NULL, 0);
  mark = strtoul(words[5], NULL, 0);
  tenant = strtoul(words[6], NULL, 0);

  int fd = open_queue();
  for (int i = 0; i < SLOTS; i++) {
    incoming[i] = (struct iovec){slots[i] + HEADROOM, DATAGRAM};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &incoming[i], .msg_iovlen = 1};
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    int received = recvmmsg(fd, messages, SLOTS, MSG_WAITFORONE, NULL);
    if (received < 0 && errno != EINTR && errno != ENOBUFS) fail("recvmmsg");
    for (int i = 0; i < received; i++) handle(fd, slots[i] + HEADROOM, messages[i].msg_len);
    flush(fd);
  }
}
