/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories in the folder that the argument names. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

static int failed;
static char *volatile wild = (char *)8;
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno);                                           \
            failed = 1;                                                                                                \
        }                                                                                                              \
    } while (0)

static void reading_and_writing(void)
{
    static char big[3 << 20], back[3 << 20]; /* more than one copy buffer of the boundary */
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 31 + (i >> 12));
    int fd = open("big", O_RDWR | O_CREAT | O_TRUNC, 0640);
    EXPECT(fd >= 0);
    EXPECT(write(fd, big, sizeof(big)) == (ssize_t)sizeof(big));
    EXPECT(lseek(fd, 0, SEEK_CUR) == (off_t)sizeof(big));
    EXPECT(pread(fd, back, sizeof(back), 0) == (ssize_t)sizeof(back));
    EXPECT(!memcmp(big, back, sizeof(big)));
    EXPECT(pwrite(fd, "mark", 4, 70000) == 4);
    struct iovec parts[3] = {{back, 10}, {back + 10, 0}, {back + 20, 70000}};
    EXPECT(preadv(fd, parts, 3, 4) == 70010);
    EXPECT(!memcmp(back + 20 + 70000 - 14, "mark", 4));
    EXPECT(lseek(fd, -100, SEEK_END) == (off_t)sizeof(big) - 100);
    EXPECT(read(fd, back, 4096) == 100);
    EXPECT(read(fd, back, 4096) == 0);
    EXPECT(ftruncate(fd, 5) == 0);
    struct stat status;
    EXPECT(fstat(fd, &status) == 0 && status.st_size == 5 && (status.st_mode & 0777) == 0640);
    EXPECT(fsync(fd) == 0);
    int other = dup(fd);
    EXPECT(other > fd && fcntl(other, F_GETFL) == fcntl(fd, F_GETFL));
    EXPECT(fcntl(fd, F_DUPFD_CLOEXEC, 50) == 50 && fcntl(50, F_GETFD) == FD_CLOEXEC);
    close(50);
    close(other);
    EXPECT(read(other, back, 1) == -1 && errno == EBADF);
    EXPECT(lseek(fd, 0, SEEK_SET) == 0 && read(fd, wild, 1) == -1 && errno == EFAULT);
    EXPECT(write(fd, wild, 1) == -1 && errno == EFAULT);
    close(fd);
}

static void names(void)
{
    EXPECT(mkdir("d", 0755) == 0);
    EXPECT(mkdir("d", 0755) == -1 && errno == EEXIST);
    EXPECT(rename("big", "d/moved") == 0);
    EXPECT(link("d/moved", "d/again") == 0);
    EXPECT(symlink("moved", "d/link") == 0);
    char target[100];
    EXPECT(readlink("d/link", target, sizeof(target)) == 5 && !memcmp(target, "moved", 5));
    struct stat status;
    EXPECT(lstat("d/link", &status) == 0 && S_ISLNK(status.st_mode));
    EXPECT(stat("d/link", &status) == 0 && status.st_nlink == 2);
    EXPECT(chmod("d/moved", 0600) == 0 && stat("d/again", &status) == 0 && (status.st_mode & 0777) == 0600);
    struct timespec times[2] = {{1000000000, 5}, {1100000000, 7}};
    EXPECT(utimensat(AT_FDCWD, "d/moved", times, 0) == 0);
    EXPECT(stat("d/moved", &status) == 0 && status.st_mtim.tv_sec == 1100000000 && status.st_mtim.tv_nsec == 7);
#ifdef STATX_BASIC_STATS /* not in older musl */
    struct statx extended;
    EXPECT(statx(AT_FDCWD, "d/moved", 0, STATX_BASIC_STATS, &extended) == 0 && extended.stx_size == 5);
#endif
    EXPECT(access("d/moved", R_OK) == 0 && access("d/none", F_OK) == -1 && errno == ENOENT);
    int directory = open("d", O_RDONLY | O_DIRECTORY);
    EXPECT(directory >= 0 && faccessat(directory, "moved", F_OK, 0) == 0);
    EXPECT(fchdir(directory) == 0 && access("moved", F_OK) == 0 && chdir("..") == 0);
    for (int i = 0; i < 500; i++) {
        char name[64];
        snprintf(name, sizeof(name), "entry-with-a-rather-long-name-%04d", i);
        int fd = openat(directory, name, O_CREAT | O_WRONLY | O_EXCL, 0644);
        EXPECT(fd >= 0);
        close(fd);
    }
    DIR *stream = fdopendir(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(stream));)
        count++;
    EXPECT(count == 505);
    rewinddir(stream);
    for (struct dirent *entry; (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            EXPECT(unlinkat(dirfd(stream), entry->d_name, 0) == 0);
    closedir(stream);
    EXPECT(rmdir("d") == 0);
    EXPECT(stat("d", &status) == -1 && errno == ENOENT);
    char long_name[5000];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    EXPECT(open(long_name, O_RDONLY) == -1 && errno == ENAMETOOLONG);
    struct statfs fs;
    EXPECT(statfs(".", &fs) == 0 && fs.f_bsize > 0);
}

int main(int argc, char **argv)
{
    EXPECT(chdir(argc > 1 ? argv[1] : "/tmp") == 0);
    umask(022);
    reading_and_writing();
    names();
    printf(failed ? "files: failed\n" : "files: good\n");
    return failed;
}
