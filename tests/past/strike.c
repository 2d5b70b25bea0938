/* Runs a program, and kills it at one of its calls that change something; its children, threads and theirs included.
 *
 *   strike COUNT all|one PROGRAM ARGUMENT...
 *
 * Calls are counted in the order in which they come, whichever process makes them, from 0 and from the moment on at which
 * one of them asks for its priority by getpriority(PRIO_PROCESS, 31249). The call with the number COUNT is not made: at
 * it, `one` kills the process that is about to make it, `all` kills all of them. Once that is done, the rest runs on its own.
 * A COUNT of -1 kills nobody. The last line of standard error says how many calls there were, and which one it was.
 *
 * A filter (seccomp) in the program stops it at these calls and no others, so that it is hardly slower for that. Calls
 * that are made without the C library, as Rust may make them, are seen, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BEGIN = 31249, PROCESSES = 4096 };

static const struct {
	int number;
	const char *name;
} calls[] = {
#define CALL(name) {SYS_##name, #name}
#ifdef SYS_rename
	CALL(rename), CALL(unlink), CALL(link), CALL(mkdir), CALL(rmdir),
#endif
	CALL(renameat), CALL(renameat2), CALL(unlinkat), CALL(linkat), CALL(mkdirat), CALL(write), CALL(writev), CALL(pwrite64),
	CALL(pwritev), CALL(fsync), CALL(fdatasync), CALL(ftruncate), CALL(sendto), CALL(sendmsg), CALL(fallocate),
	CALL(openat), /* to write, or to make a file */
};
enum { CALLS = sizeof calls / sizeof *calls };

static pid_t family[PROCESSES];
static int members;

static void filter(void) {
	struct sock_filter code[2 * CALLS + 12];
	int n = 0;
	const int number = offsetof(struct seccomp_data, nr), third = offsetof(struct seccomp_data, args[2]);
	const struct sock_filter trace = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number);
	for (int i = 0; i < CALLS - 1; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1);
		code[n++] = trace;
	}
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1);
	code[n++] = trace;
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3);
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, third);
	code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT | O_WRONLY | O_RDWR, 0, 1);
	code[n++] = trace;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {n, code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("strike: seccomp");
		_exit(127);
	}
}

static void note(pid_t pid) {
	for (int i = 0; i < members; i++)
		if (family[i] == pid)
			return;
	if (members < PROCESSES)
		family[members++] = pid;
}

static void drop(pid_t pid) {
	for (int i = 0; i < members; i++)
		if (family[i] == pid)
			family[i] = family[--members];
}

static const char *name_of(int number) {
	for (int i = 0; i < CALLS; i++)
		if (calls[i].number == number)
			return calls[i].name;
	return "?";
}

static pid_t process_of(pid_t thread) {
	char path[64], line[256];
	pid_t found = thread;
	snprintf(path, sizeof path, "/proc/%d/status", thread);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "Tgid: %d", &found) == 1)
			break;
	if (file)
		fclose(file);
	return found;
}

int main(int argc, char **argv) {
	if (argc < 4)
		return fputs("usage: strike COUNT all|one PROGRAM ARGUMENT...\n", stderr), 2;
	long at = atol(argv[1]), count = 0;
	int all = !strcmp(argv[2], "all"), begun = 0, struck = 0, status, ended = 0;
	const char *where = "none";
	pid_t first = fork();
	if (first == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		filter();
		execvp(argv[3], argv + 3);
		perror(argv[3]);
		_exit(127);
	}
	waitpid(first, &status, __WALL);
	long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
		PTRACE_O_EXITKILL;
	ptrace(PTRACE_SETOPTIONS, first, 0, options);
	ptrace(PTRACE_CONT, first, 0, 0);
	note(first);
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			drop(pid);
			if (pid == first)
				ended = status;
			continue;
		}
		int deliver = 0, event = status >> 16;
		note(process_of(pid));
		if (event == PTRACE_EVENT_SECCOMP) {
			struct __ptrace_syscall_info info = {0};
			ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
			if ((int)info.seccomp.nr == SYS_getpriority) {
				begun |= info.seccomp.args[1] == BEGIN;
			} else if (begun && !struck && count++ == at) {
				struck = 1;
				where = name_of((int)info.seccomp.nr);
				pid_t mine = process_of(pid);
				if (all)
					for (int i = 0; i < members; i++)
						kill(family[i], SIGKILL);
				kill(mine, SIGKILL);
			}
		} else if (event == 0 && WSTOPSIG(status) != SIGTRAP) {
			deliver = WSTOPSIG(status);
			if (deliver == SIGSTOP) /* how a new thread or process begins */
				deliver = 0;
		}
		ptrace(PTRACE_CONT, pid, 0, deliver);
	}
	fprintf(stderr, "strike: %ld %s\n", count, where);
	if (WIFSIGNALED(ended))
		return 128 + WTERMSIG(ended);
	return WEXITSTATUS(ended);
}
