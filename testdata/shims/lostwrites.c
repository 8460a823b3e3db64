/*
 * A disk that forgets what was not synced. Preloaded into a server
 * (LD_PRELOAD), it keeps what the server writes to regular files in the
 * process' own memory, and hands it to the kernel when the server syncs the
 * file (fsync, fdatasync). SIGKILL then loses exactly what a power cut would:
 * written and not synced.
 *
 * What is held belongs to the file, not to the descriptor: a sync through
 * another descriptor writes it, closing, renaming or unlinking keeps it held,
 * and ftruncate cuts it. A process that ends in good order loses nothing,
 * because its kernel would still have written everything; a forked child holds
 * nothing of its parent's.
 *
 * What it leaves alone, as Redis 7.0 needs no more (seen with strace: the
 * append-only file is written with write and synced with fdatasync, the
 * manifest and the base are synced before they are renamed, and none of them
 * is read by the process that wrote it):
 * - reads: a process does not read back what it has not synced;
 * - stdio's own writes, which do not go through write(), among them the base
 *   file's (synced before it is used) and logs;
 * - names: creating, renaming and removing files is durable at once;
 * - sync_file_range, which promises nothing to rely on (see its manual page).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* One write that is held: size bytes that belong at offset at. */
struct piece {
	struct piece *next;
	off_t at;
	size_t size;
	char data[];
};

/* One file that has held writes, in the order in which they were made. */
struct file {
	struct file *next;
	dev_t dev;
	ino_t ino;
	int fd; /* the shim's own, not O_APPEND, so that it outlives others */
	off_t end; /* of the file as its writer knows it */
	struct piece *first, **last;
};

static struct file *files; /* guarded by lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static ssize_t real_pwrite(int fd, const void *data, size_t size, off_t at)
{
	return REAL(pwrite)(fd, data, size, at);
}

/* holds reports whether writes to fd are held: a regular file, which is none of
 * the standard streams and not opened to sync each write. */
static int holds(int fd, struct stat *st, int *flags)
{
	if (fd <= 2 || fstat(fd, st) != 0 || !S_ISREG(st->st_mode))
		return 0;
	*flags = fcntl(fd, F_GETFL);
	return *flags >= 0 && !(*flags & O_DSYNC);
}

static struct file **find(const struct stat *st)
{
	struct file **f = &files;

	while (*f && ((*f)->dev != st->st_dev || (*f)->ino != st->st_ino))
		f = &(*f)->next;
	return f;
}

/* hold_file returns the file's record, made if there was none; NULL if it
 * cannot be made. */
static struct file *hold_file(int fd, const struct stat *st)
{
	struct file **at = find(st), *f = *at;
	char path[64];

	if (f)
		return f;
	f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	f->fd = open(path, O_WRONLY | O_CLOEXEC);
	if (f->fd < 0) {
		free(f);
		return NULL;
	}
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->end = st->st_size;
	f->last = &f->first;
	return *at = f;
}

/* release frees a record and what it still holds. */
static void release(struct file **at)
{
	struct file *f = *at;

	*at = f->next;
	while (f->first) {
		struct piece *p = f->first;

		f->first = p->next;
		free(p);
	}
	close(f->fd);
	free(f);
}

/* hand_over gives everything that is held of a file to the kernel; -1 with
 * errno if it takes less. */
static int hand_over(struct file **at)
{
	struct piece *p;

	for (p = (*at)->first; p; p = p->next) {
		size_t done = 0;

		while (done < p->size) {
			ssize_t n = real_pwrite((*at)->fd, p->data + done, p->size - done, p->at + (off_t)done);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return -1;
			done += (size_t)n;
		}
	}
	release(at);
	return 0;
}

/* hold takes one write over. at < 0: at the descriptor's own place. */
static ssize_t hold(int fd, const struct iovec *iov, int count, off_t at, const struct stat *st, int flags)
{
	struct piece *p;
	struct file *f;
	size_t size = 0, done = 0;
	int own = at < 0, i;

	for (i = 0; i < count; i++)
		size += iov[i].iov_len;
	p = malloc(sizeof *p + size);
	f = hold_file(fd, st);
	if (!p || !f) {
		free(p);
		errno = EIO;
		return -1;
	}
	if (flags & O_APPEND)
		at = f->end;
	else if (own)
		at = lseek(fd, 0, SEEK_CUR);
	if (own)
		lseek(fd, at + (off_t)size, SEEK_SET);
	for (i = 0; i < count; i++) {
		memcpy(p->data + done, iov[i].iov_base, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	p->next = NULL;
	p->at = at;
	p->size = size;
	*f->last = p;
	f->last = &p->next;
	if (at + (off_t)size > f->end)
		f->end = at + (off_t)size;
	return (ssize_t)size;
}

/* take holds a write if it is to a file; -2 if it is not. */
static ssize_t take(int fd, const struct iovec *iov, int count, off_t at)
{
	struct stat st;
	ssize_t n = -2;
	int flags = 0;

	if (!holds(fd, &st, &flags))
		return n;
	pthread_mutex_lock(&lock);
	n = hold(fd, iov, count, at, &st, flags);
	pthread_mutex_unlock(&lock);
	return n;
}

ssize_t write(int fd, const void *data, size_t size)
{
	struct iovec one = { (void *)data, size };
	ssize_t n = take(fd, &one, 1, -1);

	return n == -2 ? REAL(write)(fd, data, size) : n;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	ssize_t n = take(fd, iov, count, -1);

	return n == -2 ? REAL(writev)(fd, iov, count) : n;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	struct iovec one = { (void *)data, size };
	ssize_t n = take(fd, &one, 1, at);

	return n == -2 ? real_pwrite(fd, data, size, at) : n;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return pwrite(fd, data, size, at); }

/* cut forgets what is held beyond size. */
static void cut(struct file *f, off_t size)
{
	struct piece **p = &f->first;

	while (*p) {
		struct piece *gone = *p;

		if (gone->at >= size) {
			*p = gone->next;
			free(gone);
			continue;
		}
		if (gone->at + (off_t)gone->size > size)
			gone->size = (size_t)(size - gone->at);
		p = &gone->next;
	}
	f->last = p;
	f->end = size;
}

int ftruncate(int fd, off_t size)
{
	struct stat st;
	int answer, known = fstat(fd, &st) == 0;

	pthread_mutex_lock(&lock);
	answer = REAL(ftruncate)(fd, size);
	if (answer == 0 && known && *find(&st))
		cut(*find(&st), size);
	pthread_mutex_unlock(&lock);
	return answer;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

/* flush hands over what is held of fd's file before it is synced. */
static int flush(int fd)
{
	struct stat st;
	struct file **f;
	int answer = 0;

	if (fstat(fd, &st) != 0)
		return 0; /* the sync itself will say so */
	pthread_mutex_lock(&lock);
	f = find(&st);
	if (*f)
		answer = hand_over(f);
	pthread_mutex_unlock(&lock);
	return answer;
}

int fsync(int fd) { return flush(fd) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return flush(fd) ? -1 : REAL(fdatasync)(fd); }

/* The lock is taken around a fork so that the child finds it free. */
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void in_parent(void) { pthread_mutex_unlock(&lock); }
static void in_child(void)
{
	while (files)
		release(&files);
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void) { pthread_atfork(before_fork, in_parent, in_child); }

/* An end in good order: the kernel would write what it has. */
__attribute__((destructor)) static void finish(void)
{
	pthread_mutex_lock(&lock);
	while (files && hand_over(&files) == 0)
		;
	pthread_mutex_unlock(&lock);
}
