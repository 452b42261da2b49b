/*
 * A library to preload into a process, for faults that nothing else here can make: a disk whose flushes take long, and a
 * wall clock that is stepped and drifts. Neither touches the monotonic clock, nor the waiting of timers.
 *
 * SHIM_FLUSH_MILLIS  every fsync and fdatasync takes so much longer
 * SHIM_CLOCK_FILE    a file of two doubles in the machine's byte order, read at each look at the wall clock and to be
 *                    rewritten in place meanwhile: seconds that are added, seconds gained in a second since the start
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const double* moved;
static double started;

static int (*real_clock)(clockid_t, struct timespec*);

static double seconds(clockid_t clock) {
  struct timespec now;
  real_clock(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

__attribute__((constructor)) static void prepare(void) {
  real_clock = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  const char* name = getenv("SHIM_CLOCK_FILE");
  if (!name) return;
  const int file = open(name, O_RDONLY);
  if (file < 0) abort();
  void* mapped = mmap(NULL, 2 * sizeof(double), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) abort();
  started = seconds(CLOCK_MONOTONIC);
  moved = (const double*)mapped;
}

int clock_gettime(clockid_t clock, struct timespec* answer) {
  if (!real_clock) prepare();
  const int status = real_clock(clock, answer);
  if (status != 0 || !moved || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return status;
  const double now = (double)answer->tv_sec + (double)answer->tv_nsec * 1e-9 + moved[0] +
                     moved[1] * (seconds(CLOCK_MONOTONIC) - started);
  answer->tv_sec = (time_t)now;
  answer->tv_nsec = (long)((now - (double)answer->tv_sec) * 1e9);
  return 0;
}

int gettimeofday(struct timeval* restrict answer, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  answer->tv_sec = now.tv_sec;
  answer->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* answer) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (answer) *answer = now.tv_sec;
  return now.tv_sec;
}

static void wait_for_disk(void) {
  const char* millis = getenv("SHIM_FLUSH_MILLIS");
  if (millis) usleep((useconds_t)(atoi(millis) * 1000));
}

int fsync(int file) {
  wait_for_disk();
  return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
  wait_for_disk();
  return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
