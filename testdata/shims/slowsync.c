/*
 * A disk that takes longer to sync. Preloaded into a server (LD_PRELOAD), each
 * fsync and fdatasync returns MILLRACE_SYNC_DELAY_US microseconds later than
 * the disk would let it. Nothing else changes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void delay(void)
{
	const char *us = getenv("MILLRACE_SYNC_DELAY_US");
	long n = us ? atol(us) : 0;
	struct timespec pause = { n / 1000000, n % 1000000 * 1000 };

	nanosleep(&pause, NULL);
}

static int slow(const char *name, int fd)
{
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	int answer = next(fd);

	delay();
	return answer;
}

int fsync(int fd) { return slow("fsync", fd); }

int fdatasync(int fd) { return slow("fdatasync", fd); }
