/* Searches the memory of a process, or a core dump, for many patterns of 16 bytes at any place.
 *
 *   search /proc/PID/mem FROM-TO... < patterns      addresses in hexadecimal
 *   search FILE < patterns                          the whole of it
 *
 * Prints the number of each pattern that is there, and where. A range that cannot be read is told by its FROM.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LENGTH = 16, BLOCK = 1 << 22, SLOTS = 1 << 22 };

static unsigned char (*patterns)[LENGTH];
static uint32_t count, *slots; /* number + 1 of a pattern, by its hash; 0 for none */
static unsigned char block[BLOCK + LENGTH];

static uint32_t hash(const unsigned char *at) {
	uint64_t word;
	memcpy(&word, at, sizeof word);
	return (uint32_t)(word * 0x9e3779b97f4a7c15u >> 42);
}

static void take_patterns(void) {
	size_t room = 1024, got;
	patterns = malloc(room * LENGTH);
	while ((got = fread(patterns[count], 1, LENGTH, stdin)) == LENGTH)
		if (++count == room)
			patterns = realloc(patterns, (room *= 2) * LENGTH);
	if (got || count >= SLOTS / 2)
		exit(2);
	slots = calloc(SLOTS, sizeof *slots);
	for (uint32_t number = 0; number < count; number++) {
		uint32_t slot = hash(patterns[number]);
		while (slots[slot])
			slot = (slot + 1) % SLOTS;
		slots[slot] = number + 1;
	}
}

static void look(uint64_t base, size_t length) {
	for (size_t at = 0; at + LENGTH <= length; at++)
		for (uint32_t slot = hash(block + at); slots[slot]; slot = (slot + 1) % SLOTS)
			if (!memcmp(patterns[slots[slot] - 1], block + at, LENGTH))
				printf("%u %llx\n", slots[slot] - 1, (unsigned long long)(base + at));
}

static void search(int fd, uint64_t from, uint64_t to) {
	size_t kept = 0; /* bytes of the block before, where a pattern may begin */
	for (uint64_t at = from; at < to;) {
		size_t want = to - at < BLOCK ? to - at : BLOCK;
		ssize_t got = pread(fd, block + kept, want, (off_t)at);
		if (got <= 0) {
			if (got < 0)
				printf("unread %llx\n", (unsigned long long)from);
			return;
		}
		look(at - kept, kept + got);
		at += got;
		size_t here = kept + got;
		kept = here < LENGTH - 1 ? here : LENGTH - 1;
		memmove(block, block + here - kept, kept);
	}
}

int main(int argc, char **argv) {
	int fd = argc < 2 ? -1 : open(argv[1], O_RDONLY);
	if (fd < 0)
		return perror("search"), 1;
	take_patterns();
	if (argc == 2)
		search(fd, 0, UINT64_MAX >> 1);
	for (int range = 2; range < argc; range++) {
		char *end;
		uint64_t from = strtoull(argv[range], &end, 16);
		search(fd, from, strtoull(end + 1, NULL, 16));
	}
	return 0;
}
