/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/socket.h>
#include <asm/unistd.h>
#include <limits.h>
#include <linux/errno.h>
#include <string.h>

#include "cases.h"
#include "fake.h"
#include "sys_socket.h"

#define N(pointer) ((uint64_t)(pointer))
#define DATA_SIZE 50
#define CONTROL_SIZE 64

/* What the host writes into the message before it returns */
static struct {
    long result;
    uint32_t address_size;
    uint64_t control_size;
    struct control_head head;
    int rights;
} told;

static long receive(uint32_t number, const uint64_t args[6])
{
    struct program_message *message = (struct program_message *)args[1];

    (void)number;
    message->address_size = told.address_size;
    message->control_size = told.control_size;
    if (message->control) {
        memcpy((void *)message->control, &told.head, sizeof(told.head));
        memcpy((char *)message->control + sizeof(told.head), &told.rights, sizeof(told.rights));
    }
    return told.result;
}

static struct program_message message;
static char *data, *control, *address;

static long receive_message(void)
{
    static struct iovec range;

    data = fake_program_buffer(DATA_SIZE);
    control = fake_program_buffer(CONTROL_SIZE);
    address = fake_program_buffer(16);
    range = (struct iovec){.iov_base = data, .iov_len = DATA_SIZE};
    message = (struct program_message){.address = N(address),
                                       .address_size = 16,
                                       .ranges = N(&range),
                                       .range_count = 1,
                                       .control = N(control),
                                       .control_size = CONTROL_SIZE};
    fake_host = receive;
    return CALL(recvmsg, 3, N(&message), 0);
}

static void honest_message(void)
{
    told.result = 20;
    told.address_size = 110;
    told.control_size = 24;
    told.head = (struct control_head){.size = 20, .level = SOL_SOCKET, .type = CONTROL_RIGHTS};
    told.rights = 9;
    EXPECT(receive_message() == 20);
    EXPECT(message.address_size == 110 && message.control_size == 24);
    EXPECT(fake_untouched(data + 20, DATA_SIZE - 20) && fake_untouched(control + 24, CONTROL_SIZE - 24));
    EXPECT(!memcmp(control, &told.head, sizeof(told.head)));
}

static void lengths_are_read_once(void)
{
    told.result = 20;
    told.address_size = 110;
    fake_scribbles = 1;
    long result = receive_message();
    EXPECT(result == 20 || result == -EIO);
    EXPECT(message.address_size == 110 || message.address_size == 16);
    EXPECT(message.control_size <= CONTROL_SIZE);
    EXPECT(fake_untouched(data + 20, DATA_SIZE - 20));
}

static void more_data_than_asked(void)
{
    const long lies[] = {DATA_SIZE + 1, INT_MAX, 1L << 40};

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        told.result = lies[i];
        EXPECT(receive_message() == -EIO);
        EXPECT(fake_untouched(data, DATA_SIZE));
    }
}

static void truncated_datagrams_stay_in_their_buffer(void)
{
    data = fake_program_buffer(DATA_SIZE);
    fake_host = receive;
    told.result = 5000;
    EXPECT(CALL(recvfrom, 3, N(data), DATA_SIZE, MESSAGE_TRUNCATED, 0, 0) == 5000);
    told.result = INT_MAX + 1L;
    EXPECT(CALL(recvfrom, 3, N(data), DATA_SIZE, MESSAGE_TRUNCATED, 0, 0) == -EIO);
}

static void control_data_larger_than_asked(void)
{
    const uint64_t lies[] = {CONTROL_SIZE + 1, 1UL << 40, ~0UL};

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        told.control_size = lies[i];
        EXPECT(receive_message() == -EIO);
        EXPECT(fake_untouched(control, CONTROL_SIZE));
    }
}

static void control_messages_that_lead_astray(void)
{
    const uint64_t lies[] = {0, 15, 25, CONTROL_SIZE, 1UL << 63, ~0UL};

    told.control_size = 24;
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        told.head = (struct control_head){.size = lies[i], .level = SOL_SOCKET, .type = CONTROL_RIGHTS};
        EXPECT(receive_message() == -EIO);
    }
}

static void descriptors_that_cannot_be_received(void)
{
    const int lies[] = {-1, INT_MIN, FAKE_HIDDEN_FIRST, FAKE_HIDDEN_LAST};

    told.control_size = 24;
    told.head = (struct control_head){.size = 20, .level = SOL_SOCKET, .type = CONTROL_RIGHTS};
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        told.rights = lies[i];
        EXPECT(receive_message() == -EIO);
    }
}

static void addresses_larger_than_any(void)
{
    told.address_size = ADDRESS_SIZE_MAX + 1;
    EXPECT(receive_message() == -EIO);
    EXPECT(fake_untouched(address, 16));
}

static long claim_sent(uint32_t number, const uint64_t args[6])
{
    (void)number, (void)args;
    return told.result;
}

static void more_sent_than_given(void)
{
    char *from = fake_program_buffer(DATA_SIZE);

    fake_host = claim_sent;
    told.result = DATA_SIZE + 1;
    EXPECT(CALL(sendto, 3, N(from), DATA_SIZE, 0, 0, 0) == -EIO);
    EXPECT(CALL(sendto, 3, N(from), DATA_SIZE, 0, N(from), ADDRESS_SIZE_MAX + 1) == -EINVAL);
}

static void many_messages_stop_at_a_lie(void)
{
    static struct iovec range;
    struct program_messages *many = fake_program_buffer(2 * sizeof(*many));

    data = fake_program_buffer(DATA_SIZE);
    range = (struct iovec){.iov_base = data, .iov_len = DATA_SIZE};
    memset(many, 0, 2 * sizeof(*many));
    for (int i = 0; i < 2; i++)
        many[i].message = (struct program_message){.ranges = N(&range), .range_count = 1};
    fake_host = receive;
    told.result = DATA_SIZE;
    EXPECT(CALL(recvmmsg, 3, N(many), 2, 0, 0) == 2);
    EXPECT(many[1].size == DATA_SIZE);
    told.result = DATA_SIZE + 1;
    EXPECT(CALL(recvmmsg, 3, N(many), 2, 0, 0) == -EIO);
}

const struct fake_case socket_cases[] = {
    {"honest_message", honest_message},
    {"lengths_are_read_once", lengths_are_read_once},
    {"more_data_than_asked", more_data_than_asked},
    {"truncated_datagrams_stay_in_their_buffer", truncated_datagrams_stay_in_their_buffer},
    {"control_data_larger_than_asked", control_data_larger_than_asked},
    {"control_messages_that_lead_astray", control_messages_that_lead_astray},
    {"descriptors_that_cannot_be_received", descriptors_that_cannot_be_received},
    {"addresses_larger_than_any", addresses_larger_than_any},
    {"more_sent_than_given", more_sent_than_given},
    {"many_messages_stop_at_a_lie", many_messages_stop_at_a_lie},
    {0, 0},
};
