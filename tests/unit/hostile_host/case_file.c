/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/stat.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/uio.h>
#include <string.h>

#include "cases.h"
#include "fake.h"

#define N(pointer) ((uint64_t)(pointer))

static long claimed;

static long claim(uint32_t number, const uint64_t args[6])
{
    (void)number, (void)args;
    return claimed;
}

static void read_claims_more_than_asked(void)
{
    char *to = fake_program_buffer(100);
    const long lies[] = {101, INT_MAX, LONG_MAX, 1L << 62};

    fake_host = claim;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        claimed = lies[i];
        EXPECT(CALL(read, 3, N(to), 100) == -EIO);
        EXPECT(CALL(pread64, 3, N(to), 100, 0) == -EIO);
        EXPECT(CALL(write, 3, N(to), 100) == -EIO);
        EXPECT(CALL(pwrite64, 3, N(to), 100, 0) == -EIO);
    }
    EXPECT(fake_untouched(to, 100));
}

static void read_of_an_honest_host(void)
{
    char *to = fake_program_buffer(100);

    fake_host = claim;
    claimed = 40;
    memset(host_buffer(), 'x', HOST_BUFFER_SIZE);
    EXPECT(CALL(read, 3, N(to), 100) == 40);
    EXPECT(to[0] == 'x' && to[39] == 'x' && fake_untouched(to + 40, 60));
}

static unsigned round_count;

static long lie_in_the_second_round(uint32_t number, const uint64_t args[6])
{
    if (number == __NR_fstat) {
        ((struct stat *)args[1])->st_mode = 0100644;
        return 0;
    }
    memset((void *)args[1], 'y', args[2]);
    return round_count++ ? (long)args[2] + 1 : (long)args[2];
}

static void large_read_is_lied_to_later(void)
{
    uint64_t size = HOST_BUFFER_SIZE + 1000;
    char *to = fake_program_buffer(size);

    fake_host = lie_in_the_second_round;
    EXPECT(CALL(read, 3, N(to), size) == HOST_BUFFER_SIZE);
    EXPECT(fake_untouched(to + HOST_BUFFER_SIZE, 1000));
}

static void list_is_filled_to_its_end_and_no_further(void)
{
    struct iovec list[40];
    long sizes = 0;

    for (int i = 0; i < 40; i++) {
        list[i].iov_len = i;
        list[i].iov_base = fake_program_buffer(i);
        sizes += i;
    }
    fake_host = claim;
    memset(host_buffer(), 'z', HOST_BUFFER_SIZE);
    claimed = sizes;
    EXPECT(CALL(readv, 3, N(list), 40) == sizes);
    EXPECT(((char *)list[39].iov_base)[38] == 'z');
    claimed = sizes + 1;
    EXPECT(CALL(readv, 3, N(list), 40) == -EIO);
    EXPECT(CALL(preadv2, 3, N(list), 40, 0, 0, 1) == -EIO);
    EXPECT(CALL(writev, 3, N(list), 40) == -EIO);
}

static void lists_of_the_program_are_checked(void)
{
    struct iovec list[2] = {{.iov_base = 0, .iov_len = LONG_MAX}, {.iov_base = 0, .iov_len = LONG_MAX}};

    fake_host = claim;
    EXPECT(CALL(readv, 3, N(list), 2) == -EINVAL);
    EXPECT(CALL(readv, 3, N(list), UIO_MAXIOV + 1) == -EINVAL);
    EXPECT(CALL(writev, 3, N(list), -1UL) == -EINVAL);
}

static void new_descriptors_that_cannot_be(void)
{
    const long lies[] = {FAKE_HIDDEN_FIRST, FAKE_HIDDEN_LAST, INT_MAX + 1L, LONG_MAX};

    fake_host = claim;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        claimed = lies[i];
        EXPECT(CALL(openat, AT_FDCWD, N("/etc/passwd"), O_RDONLY) == -EIO);
        EXPECT(CALL(fcntl, 3, F_DUPFD, 0) == -EIO);
        EXPECT(CALL(openat, AT_FDCWD, N("/proc/self/maps"), O_RDONLY) == -EIO);
    }
}

static int pair_lie[2];

static long give_pair(uint32_t number, const uint64_t args[6])
{
    memcpy((void *)args[number == __NR_socketpair ? 3 : 0], pair_lie, sizeof(pair_lie));
    return 0;
}

static void pairs_that_cannot_be(void)
{
    int *to = fake_program_buffer(sizeof(int[2]));
    const int lies[][2] = {{-1, 4}, {4, -1}, {FAKE_HIDDEN_FIRST, 4}, {4, FAKE_HIDDEN_LAST}};

    fake_host = give_pair;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        memcpy(pair_lie, lies[i], sizeof(pair_lie));
        EXPECT(CALL(pipe2, N(to), 0) == -EIO);
        EXPECT(CALL(socketpair, 1, 1, 0, N(to)) == -EIO);
    }
    EXPECT(fake_untouched(to, sizeof(int[2])));
}

static void links_longer_than_asked(void)
{
    char *to = fake_program_buffer(20);

    fake_host = claim;
    claimed = 21;
    EXPECT(CALL(readlink, N("/etc/link"), N(to), 20) == -EIO);
    EXPECT(fake_untouched(to, 20));
    EXPECT(CALL(readlink, N("/proc/77/exe"), N(to), 20) == (long)strlen(fake_compartment.program_path));
    EXPECT(CALL(readlink, N("/proc/self/exe"), N(to), 3) == 3);
}

static void the_mates_descriptors_are_not_there(void)
{
    fake_host = claim;
    claimed = 0;
    EXPECT(CALL(read, FAKE_HIDDEN_FIRST, 0, 0) == -EBADF);
    EXPECT(CALL(write, FAKE_HIDDEN_LAST, 0, 0) == -EBADF);
    EXPECT(CALL(fcntl, FAKE_HIDDEN_FIRST, F_GETFD) == -EBADF);
    EXPECT(CALL(ioctl, FAKE_HIDDEN_FIRST, 0x5401) == -EBADF);
    EXPECT(CALL(openat, FAKE_HIDDEN_FIRST, N("x"), O_RDONLY) == -EBADF);
}

static uint64_t closed_low[4], closed_high[4];

static long note_closed(uint32_t number, const uint64_t args[6])
{
    (void)number;
    closed_low[round_count] = args[0];
    closed_high[round_count++] = args[1];
    return 0;
}

static void close_range_goes_around_the_mates(void)
{
    fake_host = note_closed;
    EXPECT(CALL(close_range, 3, ~0U, 0) == 0);
    EXPECT(round_count == 2 && closed_low[0] == 3 && closed_high[0] == FAKE_HIDDEN_FIRST - 1);
    EXPECT(closed_low[1] == FAKE_HIDDEN_LAST + 1 && closed_high[1] == ~0U);
    round_count = 0;
    EXPECT(CALL(close_range, FAKE_HIDDEN_FIRST, FAKE_HIDDEN_LAST, 0) == 0 && round_count == 0);
}

const struct fake_case file_cases[] = {
    {"read_claims_more_than_asked", read_claims_more_than_asked},
    {"read_of_an_honest_host", read_of_an_honest_host},
    {"large_read_is_lied_to_later", large_read_is_lied_to_later},
    {"list_is_filled_to_its_end_and_no_further", list_is_filled_to_its_end_and_no_further},
    {"lists_of_the_program_are_checked", lists_of_the_program_are_checked},
    {"new_descriptors_that_cannot_be", new_descriptors_that_cannot_be},
    {"pairs_that_cannot_be", pairs_that_cannot_be},
    {"links_longer_than_asked", links_longer_than_asked},
    {"the_mates_descriptors_are_not_there", the_mates_descriptors_are_not_there},
    {"close_range_goes_around_the_mates", close_range_goes_around_the_mates},
    {0, 0},
};
