/* Sends lines of standard input to an agent, and ends with 0 once all of them are acknowledged (spec/agent.md section 3).
 *
 *     cc -O2 -o send send.c && my-service | ./send /run/tallystick/payments.sock
 *
 * It has up to 256 lines on their way. After a connection is lost it connects again for 10 seconds, says who it is, and
 * sends again what the agent does not have.
 */
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { HELLO = 1, BATCH = 2, WELCOME = 0x81, ACKNOWLEDGEMENT = 0x82, REFUSAL = 0x83 };
enum { MOST = 256, LONGEST = 1 << 20, TRIES = 100, PAUSE = 100000 /* microseconds */ };

static const char *path;
static int way = -1;
static unsigned char id[16];          /* zeros: the agent issues one */
static uint64_t through;              /* this line and all before it are in the log */
static struct { char *text; uint32_t size; } lines[MOST]; /* those after it */
static uint32_t held;

static void fail(const char *why, const char *more)
{
    fprintf(stderr, "send: %s%s; %u lines are not acknowledged\n", why, more, held);
    exit(4);
}

static int put(const void *data, size_t size) /* 0: the connection is lost */
{
    for (const char *at = data; size > 0;) {
        ssize_t sent = send(way, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return 0;
        at += sent;
        size -= (size_t)sent;
    }
    return 1;
}

static int take(void *data, size_t size)
{
    return recv(way, data, size, MSG_WAITALL) == (ssize_t)size;
}

static void acknowledge(uint64_t number)
{
    if (number < through || number - through > held)
        fail("the agent acknowledges what was not sent", "");
    uint32_t count = (uint32_t)(number - through);
    for (uint32_t i = 0; i < count; i++)
        free(lines[i].text);
    held -= count;
    memmove(lines, lines + count, held * sizeof *lines);
    through = number;
}

static int hear(int awaited) /* reads one frame; 0: the connection is lost */
{
    uint32_t size;
    uint64_t number;
    unsigned char body[4097] = {0};
    if (!take(&size, 4))
        return 0;
    size = be32toh(size);
    if (size == 0 || size >= sizeof body)
        fail("that is no agent", "");
    if (!take(body, size))
        return 0;
    if (body[0] == REFUSAL && size >= 10 && body[1] == 9) /* the agent ends: connect again */
        return 0;
    if (body[0] == REFUSAL && size >= 10)
        fail("the agent refuses: ", (char *)body + 10);
    if (body[0] != awaited || size < (awaited == WELCOME ? 33u : 17u))
        fail("that is no agent", "");
    memcpy(&number, body + (awaited == WELCOME ? 17 : 2), 8);
    if (awaited == WELCOME)
        memcpy(id, body + 1, 16);
    acknowledge(be64toh(number));
    return 1;
}

static int batch(uint32_t from) /* sends the lines that are held, from one of them on */
{
    for (; from < held; from++) { /* each in a frame of its own: simple, and fast enough */
        struct __attribute__((packed)) { uint32_t size; uint8_t type; uint64_t number; uint32_t length; } head = {
            htobe32(13 + lines[from].size), BATCH, htobe64(through + 1 + from), htobe32(lines[from].size)};
        if (!put(&head, sizeof head) || !put(lines[from].text, lines[from].size))
            return 0;
    }
    return 1;
}

static void connect_again(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof name.sun_path)
        fail(path, ": this path is too long for a socket");
    strcpy(name.sun_path, path);
    for (int try = 0; try < TRIES; try++, usleep(PAUSE)) {
        unsigned char hello[8 + 4 + 2] = {0, 't', 'a', 'l', 'l', 'y', 0, 1, 0, 0, 0, 18, HELLO, 1 /* sealed */};
        if (way >= 0)
            close(way);
        way = socket(AF_UNIX, SOCK_STREAM, 0);
        if (way >= 0 && connect(way, (struct sockaddr *)&name, sizeof name) == 0 && put(hello, sizeof hello)
            && put(id, sizeof id) && hear(WELCOME) && batch(0))
            return;
    }
    fail(path, ": no agent answers");
}

int main(int count, char **words)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size = 0;
    if (count != 2)
        return fprintf(stderr, "usage: send SOCKET < LINES\n"), 2;
    path = words[1];
    connect_again();
    while (size >= 0 || held > 0) {
        if (size >= 0 && (size = getline(&text, &room, stdin)) >= 0) {
            if (size > LONGEST)
                fail("a line is too long", "");
            if ((lines[held].text = malloc((size_t)size + 1)) == NULL)
                fail("no memory", "");
            memcpy(lines[held].text, text, (size_t)size);
            lines[held++].size = (uint32_t)size;
            if (!batch(held - 1))
                connect_again();
        }
        while (held == MOST || (size < 0 && held > 0))
            if (!hear(ACKNOWLEDGEMENT))
                connect_again();
    }
    return 0;
}
