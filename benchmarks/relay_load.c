/* RTP through a relay, and how late it comes out.

   relay_load CALLS SECONDS <<< lines "RELAY_PORT_A RELAY_PORT_B" (loopback), one for each call

   First it prints "PORT_A PORT_B" of each call's two phones, which the relay has to know; then it reads the relay's
   ports and sends 172 octets every 20 ms from each phone, spread evenly over the 20 ms. Prints
   sent, received, p50, p99 and the longest delay in µs, from before sendto until the kernel stamps the arrival: what
   these phones themselves are late is not in it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 2000000 /* of a µs */
static int *sockets, count;
static uint32_t *delays;
static volatile long received;
static volatile int done;

static int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void *listen_to_all(void *unused) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, events[256];
    for (int i = 0; i < count; i++) {
        event.data.u32 = i;
        epoll_ctl(epoll, EPOLL_CTL_ADD, sockets[i], &event);
    }
    while (!done) {
        int ready = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            char data[2048];
            uint64_t control[32];
            struct iovec vector = {data, sizeof data};
            struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
            ssize_t size = recvmsg(sockets[events[i].data.u32], &header, MSG_DONTWAIT);
            if (size < 20) continue;
            int64_t left, came = now();
            for (struct cmsghdr *one = CMSG_FIRSTHDR(&header); one; one = CMSG_NXTHDR(&header, one))
                if (one->cmsg_level == SOL_SOCKET && one->cmsg_type == SO_TIMESTAMPNS) {
                    struct timespec at;
                    memcpy(&at, CMSG_DATA(one), sizeof at);
                    came = at.tv_sec * 1000000000LL + at.tv_nsec;
                }
            memcpy(&left, data + 12, 8);
            int64_t delay = (came - left) / 1000;
            delays[delay < 0 ? 0 : delay >= BUCKETS ? BUCKETS - 1 : delay]++;
            received++;
        }
    }
    return unused;
}

static long quantile(double part) {
    long wanted = received * part, seen = 0;
    for (long i = 0; i < BUCKETS; i++)
        if ((seen += delays[i]) > wanted) return i;
    return BUCKETS;
}

int main(int argc, char **argv) {
    int calls = argc > 1 ? atoi(argv[1]) : 10;
    double seconds = argc > 2 ? atof(argv[2]) : 5;
    count = 2 * calls;
    sockets = calloc(count, sizeof(int));
    delays = calloc(BUCKETS, sizeof(uint32_t));
    struct rlimit many = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &many);
    struct sockaddr_in *targets = calloc(count, sizeof(struct sockaddr_in));
    for (int i = 0; i < count; i++) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof here;
        int on = 1;
        do {
            if ((sockets[i] = socket(AF_INET, SOCK_DGRAM, 0)) < 0) { perror("socket"); return 1; }
            here.sin_port = 0;
            if (bind(sockets[i], (void *)&here, sizeof here)) { perror("bind"); return 1; }
            getsockname(sockets[i], (void *)&here, &size);
            setsockopt(sockets[i], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        } while (ntohs(here.sin_port) < 32768);
        printf("%d%c", ntohs(here.sin_port), i % 2 ? '\n' : ' ');
    }
    fflush(stdout);
    for (int i = 0; i < count; i++) {
        int port;
        if (scanf("%d", &port) != 1) return 1;
        targets[i].sin_family = AF_INET;
        targets[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        targets[i].sin_port = htons(port);
    }
    pthread_t listener;
    pthread_create(&listener, NULL, listen_to_all, NULL);
    int64_t started = now(), begun = started + 10000000, step = 20000000LL / count, sent = 0;
    long frames = seconds * 50;
    for (long frame = 0; frame < frames; frame++)
        for (int i = 0; i < count; i++) {
            int64_t due = begun + frame * 20000000LL + i * step;
            while (now() < due) {
                struct timespec rest = {0, due - now()};
                if (rest.tv_nsec > 60000) nanosleep(&rest, NULL);
                else break;
            }
            unsigned char data[172] = {0x80, 0, frame >> 8, frame};
            uint32_t stamp = htonl(160 * frame), ssrc = htonl(i + 1);
            memcpy(data + 4, &stamp, 4);
            memcpy(data + 8, &ssrc, 4);
            int64_t left = now();
            memcpy(data + 12, &left, 8);
            if (sendto(sockets[i], data, sizeof data, MSG_DONTWAIT, (void *)&targets[i], sizeof targets[i]) >= 0) sent++;
        }
    double took = (now() - started) / 1e9;
    usleep(300000);
    done = 1;
    pthread_join(listener, NULL);
    printf("%ld %ld %ld %ld %ld %.3f\n", (long)sent, (long)received, quantile(0.5), quantile(0.99), quantile(1 - 1e-9), took);
    return 0;
}
