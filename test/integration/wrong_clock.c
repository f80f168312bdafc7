/* Loaded before a program (LD_PRELOAD): its wall clock is off by what a file says, and can be put right while
   it runs. The file, named by WRONG_CLOCK, holds two int64: nanoseconds that are added, and whether adjtimex
   says that the clock is synchronised. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* told(void) {
  static const volatile int64_t* words;
  static const int64_t nothing[2] = {0, 1};
  if (words) return words;
  const char* name = getenv("WRONG_CLOCK");
  const int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  void* map = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  words = map == MAP_FAILED ? nothing : map;
  return words;
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  static int (*real)(clockid_t, struct timespec*);
  if (!real) real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  const int result = real(clock, time);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  const int64_t sum = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + told()[0];
  time->tv_sec = sum / 1000000000;
  time->tv_nsec = sum % 1000000000;
  return 0;
}

int gettimeofday(struct timeval* restrict time, void* restrict zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}

int adjtimex(struct timex* buffer) {
  (void)buffer;
  return told()[1] ? TIME_OK : TIME_ERROR;
}
