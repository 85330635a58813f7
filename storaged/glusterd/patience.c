/*
 * Loaded into glusterd before its libraries: lets it wait in short steps for what is done in milliseconds.
 *
 * Where bricks share a process, glusterd waits for that process in steps of one or two whole seconds
 * (find_compat_brick_in_vol, attach_brick in glusterd-utils.c; glusterd-svc-helper.c), and always at least once for the
 * second brick of a volume on a node. All these waits go through synctask_sleep, which nothing else in glusterd calls.
 * Each gives up after 15 steps; so the first are short, and the later ones as long as they were.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* libglusterfs: lets other tasks run meanwhile. */
extern void synctask_usleep(int32_t usecs);

/* Milliseconds; of two that wait at the same time each finds the steps a little longer. */
static const int32_t short_steps[] = {20, 30, 50, 80, 120, 200, 300, 500};
#define SHORT_STEPS ((int)(sizeof(short_steps) / sizeof(short_steps[0])))
/* Who has not waited for so long begins anew. */
#define NEW_AFTER_MS 500

static _Atomic int64_t ended_at_ms = -NEW_AFTER_MS;
static _Atomic int steps;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((visibility("default"))) void synctask_sleep(int32_t seconds);

void synctask_sleep(int32_t seconds)
{
    if (now_ms() - ended_at_ms >= NEW_AFTER_MS)
        steps = 0;
    int step = steps++;
    synctask_usleep((step < SHORT_STEPS ? short_steps[step] : seconds * 1000) * 1000);
    ended_at_ms = now_ms();
}

/* What glusterd starts has no use for it. */
__attribute__((constructor)) static void stay_here(void)
{
    unsetenv("LD_PRELOAD");
}
