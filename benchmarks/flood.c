/* The kernel's own limit: datagrams of RTP's size through loopback, sent and received by one thread, with nothing
 * else done to them. `flood batch SECONDS SIZE` moves them 64 at a time between two connected sockets; `flood
 * sockets SECONDS SIZE N` one at a time, each between its own pair of N connected pairs. Prints packets for each
 * second of CPU, where a packet that was sent and received counts as two. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define BATCH 64

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static void pair(int fd[2]) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, where[2];
    socklen_t n = sizeof a;
    for (int i = 0; i < 2; i++) {
        fd[i] = socket(AF_INET, SOCK_DGRAM, 0);
        if (fd[i] < 0 || bind(fd[i], (void *)&a, sizeof a) || getsockname(fd[i], (void *)&where[i], &n)) {
            perror("flood");
            exit(1);
        }
    }
    if (connect(fd[0], (void *)&where[1], n) || connect(fd[1], (void *)&where[0], n)) {
        perror("flood");
        exit(1);
    }
}
int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: flood batch|sockets SECONDS SIZE [PAIRS]\n");
        return 2;
    }
    double seconds = atof(argv[2]);
    int size = atoi(argv[3]), pairs = argc > 4 ? atoi(argv[4]) : 1;
    static char out[2048], in[BATCH][2048];
    struct rlimit files = {1 << 16, 1 << 16};
    setrlimit(RLIMIT_NOFILE, &files);
    int (*fd)[2] = calloc(pairs, sizeof *fd);
    for (int i = 0; i < pairs; i++) pair(fd[i]);
    struct mmsghdr send_h[BATCH], recv_h[BATCH];
    struct iovec send_v = {out, size}, recv_v[BATCH];
    memset(send_h, 0, sizeof send_h);
    memset(recv_h, 0, sizeof recv_h);
    for (int i = 0; i < BATCH; i++) {
        send_h[i].msg_hdr.msg_iov = &send_v;
        send_h[i].msg_hdr.msg_iovlen = 1;
        recv_v[i] = (struct iovec){in[i], sizeof in[i]};
        recv_h[i].msg_hdr.msg_iov = &recv_v[i];
        recv_h[i].msg_hdr.msg_iovlen = 1;
    }
    double moved = 0, end = wall() + seconds, began = cpu();
    while (wall() < end) {
        if (!strcmp(argv[1], "batch")) {
            int n = sendmmsg(fd[0][0], send_h, BATCH, 0);
            int got = recvmmsg(fd[0][1], recv_h, BATCH, MSG_DONTWAIT, 0);
            moved += (n > 0 ? n : 0) + (got > 0 ? got : 0);
        } else {
            for (int i = 0; i < pairs; i++) moved += send(fd[i][0], out, size, 0) == size;
            for (int i = 0; i < pairs; i++)
                moved += recv(fd[i][1], in[0], sizeof in[0], MSG_DONTWAIT) == size;
        }
    }
    printf("%.0f\n", moved / (cpu() - began));
    return 0;
}
