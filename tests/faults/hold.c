/* hold TID MILLISECONDS: one thread of another process gets no processor time. Says "held" once
   the thread stands still, and lets it go when standard input ends, when the time is over, or
   when it is killed itself. To the thread it looks as if something of a higher priority had its
   core; nothing else of the machine is disturbed, as a loop of real-time priority would. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(long result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

int main(int count, char **words) {
    if (count != 3) return 2;
    pid_t thread = (pid_t)atol(words[1]);
    int limit_ms = (int)atol(words[2]);
    must(ptrace(PTRACE_SEIZE, thread, NULL, NULL), "seize");
    must(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL), "interrupt");
    must(waitpid(thread, NULL, __WALL), "wait");
    must(write(1, "held\n", 5), "say so");
    struct pollfd end = {.fd = 0, .events = POLLIN};
    must(poll(&end, 1, limit_ms), "wait for the end");
    must(ptrace(PTRACE_DETACH, thread, NULL, NULL), "let go");
    return 0;
}
