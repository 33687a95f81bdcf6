/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, writing, descriptors and directories, call by call, in a folder (argument, or /tmp): glibc only. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LARGE (3 * 1024 * 1024 + 17)

static char large[LARGE], again[LARGE + 1];
/* arguments that no compiler can see to be wrong */
static char *volatile wild = (char *)8;
static volatile int minus_one = -1, too_many = 1025;

#define SHOW(call) show(#call, (long)(call))

static void show(const char *what, long result)
{
    printf("%s = %ld", what, result);
    printf(result < 0 ? " errno %d\n" : "\n", errno);
}

static void large_transfers(void)
{
    for (int i = 0; i < LARGE; i++)
        large[i] = i * 7 + i / 251;
    int fd = open("large", O_RDWR | O_CREAT | O_TRUNC, 0600);
    SHOW(write(fd, large, LARGE));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(read(fd, again, LARGE + 1));
    printf("same %d\n", !memcmp(large, again, LARGE));
    memset(again, 0, LARGE);
    SHOW(pread(fd, again, LARGE, 1000));
    printf("same %d\n", !memcmp(large + 1000, again, LARGE - 1000));
    SHOW(pwrite(fd, large, LARGE, LARGE));
    SHOW(lseek(fd, 0, SEEK_END));
    SHOW(ftruncate(fd, 5));
    SHOW(read(fd, again, 10));
    SHOW(pread(fd, again, 10, -1));
    SHOW(fallocate(fd, 0, 0, 4096));
    SHOW(fsync(fd));
    SHOW(fdatasync(fd));
    close(fd);
}

static void lists(void)
{
    char parts[50][7];
    struct iovec list[50];
    int fd = open("lists", O_RDWR | O_CREAT | O_TRUNC, 0600);

    for (int i = 0; i < 50; i++) {
        memset(parts[i], 'a' + i % 26, sizeof(parts[i]));
        list[i] = (struct iovec){parts[i], i % 8};
    }
    SHOW(writev(fd, list, 50));
    SHOW(pwritev(fd, list, 3, 500));
    SHOW(pwritev2(fd, list, 9, -1, RWF_APPEND));
    SHOW(preadv(fd, list, 50, 0));
    SHOW(preadv2(fd, list, 50, 0, RWF_HIPRI));
    SHOW(lseek(fd, 3, SEEK_SET));
    memset(parts, '-', sizeof(parts));
    SHOW(readv(fd, list, 50));
    fwrite(parts, 1, sizeof(parts), stdout);
    puts("");
    SHOW(readv(fd, list, minus_one));
    SHOW(readv(fd, list, too_many));
    SHOW(read(fd, wild, 100));
    SHOW(read(-1, parts, 1));
    close(fd);
}

static void *drain(void *argument)
{
    int fd = *(int *)argument;
    long sum = 0;
    for (long size; (size = read(fd, again, LARGE)) > 0;)
        sum += size;
    return (void *)sum;
}

static void pipes(void)
{
    int ends[2];
    pthread_t reader;
    void *sum;

    SHOW(pipe2(ends, O_CLOEXEC));
    pthread_create(&reader, 0, drain, ends);
    SHOW(write(ends[1], large, LARGE));
    close(ends[1]);
    pthread_join(reader, &sum);
    printf("drained %ld\n", (long)sum);
    close(ends[0]);

    SHOW(pipe2(ends, O_NONBLOCK));
    SHOW(read(ends[0], again, 1));
    SHOW(write(ends[1], large, LARGE));
    int waiting = 0;
    SHOW(ioctl(ends[0], FIONREAD, &waiting));
    printf("waiting %d\n", waiting);
    SHOW(fcntl(ends[0], F_GETPIPE_SZ));
    SHOW(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    close(ends[0]);
    close(ends[1]);
}

static void between_descriptors(void)
{
    int from = open("large", O_RDWR | O_TRUNC), to = open("copy", O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2];
    off_t offset = 10;
    loff_t in = 3;

    write(from, large, 100000);
    SHOW(sendfile(to, from, &offset, 5000));
    printf("offset %ld\n", (long)offset);
    SHOW(copy_file_range(from, &in, to, NULL, 700, 0));
    printf("in %ld\n", (long)in);
    SHOW(pipe(ends));
    in = 50;
    SHOW(splice(from, &in, ends[1], NULL, 4096, 0));
    SHOW(tee(ends[0], ends[1], 0, 0));
    SHOW(splice(ends[0], NULL, to, NULL, 4096, 0));
    SHOW(lseek(to, 0, SEEK_END));
    close(ends[0]);
    close(ends[1]);
    close(from);
    close(to);
}

static void descriptors(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    int fd = open("copy", O_RDWR);

    SHOW(dup2(fd, 100));
    SHOW(dup3(fd, 101, O_CLOEXEC));
    SHOW(dup3(fd, fd, 0));
    SHOW(fcntl(fd, F_DUPFD, 200));
    SHOW(fcntl(101, F_GETFD));
    SHOW(fcntl(100, F_SETFD, FD_CLOEXEC));
    SHOW(fcntl(fd, F_SETLK, &lock));
    SHOW(fcntl(fd, F_OFD_GETLK, &(struct flock){.l_type = F_RDLCK}));
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    SHOW(fcntl(fd, 9999, 0));
    SHOW(syscall(SYS_close_range, 100, 250, 0));
    SHOW(fcntl(100, F_GETFD));
    SHOW(syscall(SYS_close_range, 60, ~0U, 4));
    SHOW(close(fd));
    SHOW(close(fd));
    SHOW(ioctl(0x7fff, FIONREAD, &fd));
    fd = open("copy", O_RDONLY);
    SHOW(ioctl(fd, TCGETS, again));
    SHOW(ioctl(fd, 0x12345678, again));
    close(fd);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void directories(void)
{
    char name[64], *names[500];
    int count = 0;
    struct stat status;
    struct statx extended;

    SHOW(mkdir("dir", 0750));
    SHOW(mkdir("dir", 0750));
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "dir/%d-%0*d", i, i % 40, i);
        close(creat(name, 0600));
    }
    DIR *directory = opendir("dir");
    for (struct dirent *entry; (entry = readdir(directory));)
        names[count++] = strdup(entry->d_name);
    closedir(directory);
    qsort(names, count, sizeof(names[0]), compare);
    printf("%d entries: %s %s %s\n", count, names[0], names[17], names[count - 1]);
    SHOW(rename("dir/0-0", "dir/renamed"));
    SHOW(renameat2(AT_FDCWD, "dir/renamed", AT_FDCWD, "dir/1-1", RENAME_NOREPLACE));
    SHOW(link("dir/renamed", "dir/linked"));
    SHOW(symlink("renamed", "dir/symbolic"));
    SHOW(readlink("dir/symbolic", name, 4));
    SHOW(readlink("dir/symbolic", name, 0));
    SHOW(readlink("dir/renamed", name, sizeof(name)));
    SHOW(stat("dir/linked", &status));
    printf("mode %o links %ld\n", status.st_mode, (long)status.st_nlink);
    SHOW(lstat("dir/symbolic", &status));
    printf("mode %o size %ld\n", status.st_mode & S_IFMT, (long)status.st_size);
    SHOW(statx(AT_FDCWD, "dir/renamed", 0, STATX_BASIC_STATS, &extended));
    printf("mode %o\n", extended.stx_mode);
    SHOW(chmod("dir/renamed", 0444));
    SHOW(chown("dir/renamed", -1, -1));
    SHOW(truncate("dir/renamed", 99));
    SHOW(access("dir/renamed", R_OK));
    SHOW(faccessat(AT_FDCWD, "dir/none", F_OK, 0));
    SHOW(utimensat(AT_FDCWD, "dir/renamed", (struct timespec[]){{1, 2}, {3, 4}}, 0));
    SHOW(stat("dir/renamed", &status));
    printf("size %ld time %ld.%ld\n", (long)status.st_size, (long)status.st_mtim.tv_sec, (long)status.st_mtim.tv_nsec);
    SHOW(setxattr("dir/renamed", "user.key", "value", 5, 0));
    SHOW(getxattr("dir/renamed", "user.key", name, sizeof(name)));
    SHOW(getxattr("dir/renamed", "user.key", name, 0));
    SHOW(listxattr("dir/renamed", name, 3));
    SHOW(unlink("dir/none"));
    SHOW(rmdir("dir"));
    SHOW(chdir("dir"));
    SHOW(getcwd(name, sizeof(name)) && !strcmp(strrchr(name, '/'), "/dir"));
    SHOW(getcwd(name, 2) != 0);
    SHOW(umask(022) < 01000);
    memset(large, 'x', 5000);
    SHOW(open(large, O_RDONLY));
    SHOW(open(wild, O_RDONLY));
    SHOW(open("..", O_TMPFILE | O_RDWR, 0600) >= 0);
}

int main(int argc, char **argv)
{
    struct statfs file_system;

    setvbuf(stdout, 0, _IONBF, 0);
    if (chdir(argc > 1 ? argv[1] : "/tmp"))
        return 1;
    SHOW(statfs(".", &file_system));
    large_transfers();
    lists();
    pipes();
    between_descriptors();
    descriptors();
    directories();
    return 0;
}
