/* SPDX-License-Identifier: Apache-2.0
 *
 * The program that tests run inside a sandbox: `probe VERB ARGUMENT...` tries one thing and prints
 * what came of it, "ok" or the name of the error. Static, so that a root needs nothing else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int tell(long result) {
  if (result < 0) {
    printf("%s\n", strerrorname_np(errno));
    return 1;
  }
  printf("ok\n");
  return 0;
}

static int cat(const char* path) {
  char piece[65536];
  const int fd = open(path, O_RDONLY);
  if (fd < 0) return tell(-1);
  ssize_t n;
  while ((n = read(fd, piece, sizeof piece)) > 0) fwrite(piece, 1, (size_t)n, stdout);
  close(fd);
  return n < 0 ? tell(-1) : 0;
}

static int put(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CREAT, 0644);
  if (fd < 0) return tell(-1);
  return tell(write(fd, text, strlen(text)));
}

static int list(const char* path) {
  DIR* folder = opendir(path);
  if (!folder) return tell(-1);
  for (struct dirent* e; (e = readdir(folder));) printf("%s\n", e->d_name);
  return 0;
}

static int tcp(const char* address, int port, int listens) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return tell(-1);
  if (!listens) {
    struct timeval limit = {3, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return tell(connect(fd, (struct sockaddr*)&to, sizeof to));
  }
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr*)&to, sizeof to) || listen(fd, 16)) return tell(-1);
  printf("listening\n");
  fflush(stdout);
  for (;;) {
    const int peer = accept(fd, 0, 0);
    if (peer >= 0) {
      if (write(peer, "hello\n", 6) < 0) perror("write");
      close(peer);
    }
  }
}

static int dial(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return fd >= 0 && connect(fd, (struct sockaddr*)&to, sizeof to) == 0 ? fd : -1;
}

/* Says a word at a port of its own network, and prints what it hears. */
static int say(int port, const char* word) {
  const int fd = dial(port);
  if (fd < 0 || write(fd, word, strlen(word)) < 0) return tell(-1);
  char heard[256];
  for (ssize_t n; (n = read(fd, heard, sizeof heard)) > 0;) fwrite(heard, 1, (size_t)n, stdout);
  return 0;
}

/* One datagram to each of so many ports, which for others are as many connections. */
static int spray(const char* address, int count) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in to = {.sin_family = AF_INET};
  inet_pton(AF_INET, address, &to.sin_addr);
  for (int i = 0; i < count; ++i) {
    to.sin_port = htons((unsigned short)(1024 + i));
    sendto(fd, "x", 1, 0, (struct sockaddr*)&to, sizeof to);
  }
  return printf("%d\n", count), 0;
}

static int unix_connect(const char* path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  return tell(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr*)&to, sizeof to));
}

static int eat(size_t megabytes) {
  for (size_t i = 0; i < megabytes; ++i) {
    volatile char* piece = malloc(1 << 20);
    for (size_t at = 0; at < 1 << 20; at += 4096) piece[at] = 1;
  }
  return tell(0);
}

static int fill(const char* path, size_t megabytes) {
  static char piece[1 << 20];
  memset(piece, 1, sizeof piece);
  const int fd = open(path, O_WRONLY | O_CREAT, 0644);
  for (size_t i = 0; i < megabytes; ++i) {
    for (size_t done = 0; done < sizeof piece;) {
      const ssize_t n = write(fd, piece + done, sizeof piece - done);
      if (n < 0) return tell(-1);
      done += (size_t)n;
    }
  }
  return tell(0);
}

static int fork_until_refused(int limit) {
  for (int i = 0; i < limit; ++i) {
    const pid_t pid = fork();
    if (pid < 0) {
      printf("%d %s\n", i, strerrorname_np(errno));
      return 0;
    }
    if (pid == 0) {
      pause();
      _exit(0);
    }
  }
  printf("%d ok\n", limit);
  return 0;
}

/* A grandchild that outlives its parent and keeps standard output open. */
static int orphan(void) {
  if (fork() == 0) {
    if (fork() == 0) {
      setsid();
      sleep(600);
    }
    _exit(0);
  }
  printf("left\n");
  return 0;
}

static void on_signal(int number) {
  const char* text = number == SIGTERM ? "got TERM\n" : "got INT\n";
  _exit(write(1, text, strlen(text)) > 0 ? 7 : 8);
}

static int wait_for_signal(void) {
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  if (write(1, "ready\n", 6) < 0) return 1;
  for (;;) pause();
}

static int spin(double seconds) {
  const clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
  while (clock() < end) {
  }
  return 0;
}

static int in_child(int (*body)(void)) {
  const pid_t pid = fork();
  if (pid < 0) return tell(-1);
  if (pid == 0) exit(body()); /* flushes */
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) printf("killed by %d\n", WTERMSIG(status));
  return 0;
}

static int new_user_namespace(void) { return tell(unshare(CLONE_NEWUSER)); }
static int clone_user_namespace(void) {
  return tell(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}
static int new_mount_namespace(void) { return tell(unshare(CLONE_NEWNS)); }

static int regain_root(void) {
  if (setresuid(1000, 1000, 1000)) return tell(-1);
  execl("/bin/setuid-probe", "setuid-probe", "ids", (char*)0);
  return tell(-1);
}

static int identity(void) {
  printf("uid=%d euid=%d gid=%d", getuid(), geteuid(), getgid());
  gid_t groups[64];
  const int n = getgroups(64, groups);
  for (int i = 0; i < n; ++i) printf(" group=%d", (int)groups[i]);
  printf("\n");
  return 0;
}

static int open_by_handle(void) {
  struct {
    struct file_handle head;
    unsigned char bytes[8];
  } h = {.head = {.handle_bytes = 8, .handle_type = 1}, .bytes = {2}};
  return tell(syscall(SYS_open_by_handle_at, open("/", O_RDONLY), &h, O_RDONLY));
}

static int load_bpf(void) {
  union bpf_attr attr = {
      .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  return tell(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr));
}

static int limit_of(const char* name) {
  struct rlimit limit;
  getrlimit(strcmp(name, "core") == 0 ? RLIMIT_CORE : RLIMIT_NOFILE, &limit);
  printf("%llu\n", (unsigned long long)limit.rlim_max);
  return 0;
}

static int steal_input(void) {
  const int tty = open("/dev/tty", O_RDWR);
  return tell(tty < 0 ? -1 : 0);
}

/* Leaves a file once a process of this sandbox has the power that only CRIU has here. */
static void watch_for_power(void) {
  for (;;) {
    DIR* all = opendir("/proc");
    for (struct dirent* entry; (entry = readdir(all));) {
      char path[300], line[256];
      snprintf(path, sizeof path, "/proc/%s/status", entry->d_name);
      FILE* status = atoi(entry->d_name) > 1 ? fopen(path, "r") : 0;
      while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, "CapEff:", 7) == 0 && strtoull(line + 7, 0, 16) >> 21 & 1)
          close(open("/tmp/seen", O_WRONLY | O_CREAT, 0644));
      }
      if (status) fclose(status);
    }
    closedir(all);
  }
}

static int door = -1;

static void show_door(void) {
  char byte;
  printf("old %s", recv(door, &byte, 1, MSG_DONTWAIT) > 0 ? "lives, " : "is closed, ");
  const int fresh = dial(9001);
  printf("new %s\n", fresh >= 0 && write(fresh, "again", 5) == 5 ? "is open" : "is refused");
}

/* What a checkpoint has to bring back, by name. */
static int hold(const char* what) {
  if (strcmp(what, "door") == 0) return tell((door = dial(9001)) < 0 ? -1 : 0);
  if (strcmp(what, "file") == 0) return tell(dup2(open("/tmp/held", O_RDWR | O_CREAT, 0644), 20));
  if (strcmp(what, "deleted") == 0) {
    const int fd = open("/tmp/deleted", O_RDWR | O_CREAT, 0644);
    return tell(write(fd, "still", 5) == 5 && dup2(fd, 20) == 20 ? unlink("/tmp/deleted") : -1);
  }
  if (strcmp(what, "lock") == 0)
    return tell(flock(open("/tmp/lock", O_RDWR | O_CREAT, 0644), LOCK_EX));
  if (strcmp(what, "listen") == 0) return tell(listen(socket(AF_INET, SOCK_STREAM, 0), 16));
  if (strcmp(what, "child") == 0) {
    if (fork() == 0) {
      for (;;) pause();
    }
    return tell(0);
  }
  if (strcmp(what, "user") == 0) {
    if (fork() == 0) {
      if (setresgid(33, 33, 33) || setresuid(33, 33, 33)) _exit(1);
      for (;;) pause();
    }
    return tell(0);
  }
  if (strcmp(what, "watcher") == 0) {
    if (fork() == 0) watch_for_power();
    return tell(0);
  }
  if (strcmp(what, "shm") == 0) {
    const int fd = open("/dev/shm/held", O_RDWR | O_CREAT, 0644);
    return tell(ftruncate(fd, 4096) == 0 && unlink("/dev/shm/held") == 0 &&
                        mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED
                    ? 0
                    : -1);
  }
  if (strcmp(what, "shared") == 0) {
    void* got = mmap(0, 8 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (got != MAP_FAILED) memset(got, 7, 4 << 20);
    return tell(got != MAP_FAILED ? 0 : -1);
  }
  if (strcmp(what, "named") == 0) {
    const int fd = open("/dev/shm/named", O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, 1 << 20) != 0) return tell(-1);
    void* got = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (got != MAP_FAILED) memset(got, 7, 1 << 20);
    return tell(got != MAP_FAILED ? 0 : -1);
  }
  if (strcmp(what, "memfd") == 0) {
    const int fd = memfd_create("held", 0);
    return tell(fd < 0 ? -1 : ftruncate(fd, 1 << 20));
  }
  /* And what it cannot bring back. */
  if (strstr(what, "daemon")) {
    const pid_t between = fork();
    if (between == 0) {
      if (fork() == 0) {
        if (what[0] == 'w') watch_for_power();
        for (;;) pause();
      }
      _exit(0);
    }
    return tell(waitpid(between, 0, 0) == between ? 0 : -1);
  }
  if (strcmp(what, "sysv") == 0) return tell(shmget(77, 4096, IPC_CREAT | 0600) < 0 ? -1 : 0);
  return 0;
}

static void show_powers(void) {
  char line[256];
  FILE* status = fopen("/proc/self/status", "r");
  while (fgets(line, sizeof line, status)) {
    if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "NoNewPrivs", 10) == 0 ||
        strncmp(line, "Seccomp", 7) == 0 || strncmp(line, "Uid", 3) == 0 ||
        strncmp(line, "Groups", 6) == 0)
      fputs(line, stdout);
  }
  fclose(status);
  cat("/proc/self/oom_score_adj");
  printf("nice %d\n", getpriority(PRIO_PROCESS, 0));
  for (int fd = 0; fd < 64; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) printf("fd %d\n", fd);
  }
  printf("end\n");
}

/* Counts SIGUSR1 for as long as it lives, in memory that a checkpoint has to bring back. */
/* Memory that was discarded with success is zero, and never what it was at some earlier time. */
static const char* discard(unsigned char* from, size_t size, int advice) {
  memset(from, 9, size);
  const int failed = madvise(from, size, advice);
  for (size_t i = 0; i < size; i += 64) {
    if (from[i] != 9 && from[i] != 0) return "STALE";
    if (!failed && advice == MADV_DONTNEED && from[i] != 0) return "NOT DISCARDED";
  }
  return failed ? strerrorname_np(errno) : "zero";
}

static void show_discards(unsigned char* heap, size_t size) {
  const size_t page = 4096;
  unsigned char* fresh = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("fresh %s", discard(fresh, size, MADV_DONTNEED));
  printf(" page %s", discard(heap + 10 * page, page, MADV_DONTNEED));
  printf(" last %s", discard(heap + size - page, page, MADV_DONTNEED));
  printf(" free %s", discard(heap + 20 * page, 5 * page, MADV_FREE));
  printf(" locked %s", discard(heap + 30 * page, 5 * page, 24 /* MADV_DONTNEED_LOCKED */));
  const struct iovec part = {heap + 40 * page, page};
  memset(part.iov_base, 9, page);
  const int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
  const long advised = syscall(440 /* process_madvise */, self, &part, 1, MADV_DONTNEED, 0);
  printf(" process %s", advised < 0 || heap[40 * page + 64] == 0 ? "fine" : "STALE");
  const int moving = 5; /* MREMAP_MAYMOVE | MREMAP_DONTUNMAP */
  const void* moved = mremap(heap + 50 * page, page, page, moving);
  printf(" moved %s", moved == MAP_FAILED || heap[50 * page + 64] == 0 ? "fine" : "STALE");
  printf(" all %s end\n", discard(heap, size, MADV_DONTNEED));
}

static int count(size_t megabytes, const char* held) {
  const size_t size = (megabytes << 20) + 4096;
  unsigned char* heap = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < size; i += 64) heap[i] = (unsigned char)(i >> 6);
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGUSR1);
  sigaddset(&wanted, SIGUSR2);
  sigprocmask(SIG_BLOCK, &wanted, 0);
  if (hold(held) != 0) return 1;
  printf("ready\n");
  fflush(stdout);
  for (int n = 1;;) {
    const int number = sigwaitinfo(&wanted, 0);
    if (number == SIGUSR2) {
      show_powers();
    } else if (number == SIGUSR1) { /* a stop interrupts the wait */
      size_t bad = 0;
      for (size_t i = 0; i < size; i += 64) bad += heap[i] != (unsigned char)(i >> 6);
      struct timespec now;
      clock_gettime(CLOCK_MONOTONIC, &now);
      printf("%d bad %zu at %lld\n", n++, bad, now.tv_sec * 1000000000LL + now.tv_nsec);
      if (!strcmp(held, "discards") && n > 2) show_discards(heap, size);
      if (!strcmp(held, "door") && n > 2) show_door();
    }
    fflush(stdout);
  }
}

/* One more of what the kernel counts for a user; 0: it is refused. Kept until the end. */
static int one_more(const char* what) {
  static int queues, in_flight[2] = {-1, -1};
  if (strcmp(what, "inotify") == 0) return inotify_init1(0) >= 0;
  if (strcmp(what, "signals") == 0)
    return sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}) == 0;
  if (strcmp(what, "timers") == 0) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    return timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
  }
  if (strcmp(what, "queues") == 0) {
    char name[64];
    snprintf(name, sizeof name, "/probe-%d-%d", getpid(), queues++);
    struct mq_attr form = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    const int made = (int)mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &form);
    mq_unlink(name);
    return made >= 0;
  }
  if (strcmp(what, "pipes") == 0) {
    int ends[2];
    return pipe(ends) == 0 && fcntl(ends[0], F_GETPIPE_SZ) == 65536;
  }
  if (strcmp(what, "shm") == 0) {
    const int id = shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600);
    const int locked = id >= 0 && shmctl(id, SHM_LOCK, 0) == 0;
    if (id >= 0 && shmat(id, 0, 0)) shmctl(id, IPC_RMID, 0);
    return locked;
  }
  if (strcmp(what, "flight") == 0) { /* 250 at a time, read by nobody */
    int fds[250];
    for (int i = 0; i < 250; ++i) fds[i] = 0;
    if (in_flight[0] < 0 && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, in_flight)) return 0;
    char room[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec body = {(void*)"x", 1};
    struct msghdr header = {
        .msg_iov = &body, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(part), fds, sizeof fds);
    if (sendmsg(in_flight[0], &header, 0) == 1) return 1;
    if (errno != EAGAIN) return 0; /* else its queue is full: another one */
    in_flight[0] = -1;
    return one_more(what);
  }
  if (strcmp(what, "processes") == 0) {
    const struct rlimit few = {50, 50};
    setrlimit(RLIMIT_NPROC, &few);
    if (getuid() == 0 && setresuid(1000, 1000, 1000)) return 0;
    const pid_t own = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == own) pause();
      _exit(0);
    }
    return pid > 0;
  }
  return 0;
}

/* As many as there are, or `wanted`; says how many, and holds them if it took all. */
static int take(const char* what, int wanted) {
  sigset_t queued;
  sigemptyset(&queued);
  sigaddset(&queued, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &queued, 0);
  int got = 0;
  while (got != wanted && got < 1000000 && one_more(what)) ++got;
  printf("%d\n", got);
  fflush(stdout);
  if (wanted < 0) sleep(600);
  return 0;
}

static int owner(const char* path) {
  struct stat status;
  if (lstat(path, &status)) return tell(-1);
  printf("%d:%d\n", (int)status.st_uid, (int)status.st_gid);
  return 0;
}

int main(int argc, char** argv) {
  struct timespec first;
  clock_gettime(CLOCK_MONOTONIC, &first);
  const char* verb = argc > 1 ? argv[1] : "";
  const char* a = argc > 2 ? argv[2] : "";
  const char* b = argc > 3 ? argv[3] : "";
  const char* c = argc > 4 ? argv[4] : "";
#define VERB(name) if (strcmp(verb, name) == 0)
  VERB("exit") return atoi(a);
  VERB("now") return printf("%lld\n", first.tv_sec * 1000000000LL + first.tv_nsec), 0;
  VERB("print") return fprintf(stdout, "%s\n", a), fprintf(stderr, "%s\n", b), 0;
  VERB("sleep") return printf("sleeping\n"), fflush(stdout), sleep((unsigned)atoi(a)), 0;
  VERB("abort") abort();
  VERB("cat") return cat(a);
  VERB("put") return put(a, b);
  VERB("list") return list(a);
  VERB("env") return printf("%s\n", getenv(a) ? getenv(a) : "(unset)"), 0;
  VERB("cwd") return printf("%s\n", get_current_dir_name()), 0;
  VERB("hostname") {
    char name[65] = "";
    gethostname(name, sizeof name);
    return printf("%s\n", name), 0;
  }
  VERB("ids") return identity();
  VERB("pid") return printf("%d %d\n", getpid(), getppid()), 0;
  VERB("inode") {
    struct stat status;
    return stat(a, &status) ? tell(-1) : (printf("%lu\n", status.st_ino), 0);
  }
  VERB("unlink") return tell(unlink(a));
  VERB("chmod") return tell(chmod(a, 04755));
  VERB("chown") return tell(chown(a, 1000, 1000));
  VERB("connect") return tcp(a, atoi(b), 0);
  VERB("listen") return tcp(a, atoi(b), 1);
  VERB("say") return say(atoi(a), b);
  VERB("spray") return spray(a, atoi(b));
  VERB("unix") return unix_connect(a);
  VERB("eat") return eat((size_t)atoi(a));
  VERB("eat-in-child") {
    if (fork() == 0) _exit(eat((size_t)atoi(a)));
    wait(0);
    tell(0);
    return fflush(stdout), sleep((unsigned)atoi(b)), 0;
  }
  VERB("forks") return fork_until_refused(atoi(a));
  VERB("orphan") return orphan();
  VERB("orphan-and-sleep") return orphan(), fflush(stdout), sleep(600), 0;
  VERB("fill") return fill(a, (size_t)atoi(b));
  VERB("signals") return wait_for_signal();
  VERB("mark") return tell(open("/tmp/marked", O_WRONLY | O_CREAT, 0644) < 0 ? -1 : 0);
  VERB("count") return count((size_t)atoi(a), b);
  VERB("spin") return spin(atof(a));
  VERB("limit") return limit_of(a);
  /* Barriers. */
  VERB("mount") return tell(mount("none", a, b, 0, 0));
  VERB("bind") return tell(mount(a, b, 0, MS_BIND, 0));
  VERB("remount") return tell(mount(0, a, 0, MS_REMOUNT | MS_BIND, 0));
  VERB("umount") return tell(umount2(a, MNT_DETACH));
  VERB("fsopen") return tell(syscall(SYS_fsopen, "tmpfs", 0));
  VERB("mknod")
  return tell(mknod(a, S_IFBLK | 0600, makedev((unsigned)atoi(b), (unsigned)atoi(c))));
  VERB("mknod-char")
  return tell(mknod(a, S_IFCHR | 0600, makedev((unsigned)atoi(b), (unsigned)atoi(c))));
  VERB("ptrace") return tell(ptrace(PTRACE_ATTACH, atoi(a), 0, 0));
  VERB("readmem") {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void*)0x400000, 1};
    return tell(syscall(SYS_process_vm_readv, atoi(a), &here, 1, &there, 1, 0));
  }
  VERB("raw") return tell(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  VERB("packet") return tell(socket(AF_PACKET, SOCK_RAW, 0));
  VERB("vsock") return tell(socket(AF_VSOCK, SOCK_STREAM, 0));
  VERB("keyctl") return tell(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1));
  VERB("add-key") return tell(syscall(SYS_add_key, "user", "k", "v", 1, KEY_SPEC_USER_KEYRING));
  VERB("bpf") return load_bpf();
  VERB("perf") return tell(syscall(SYS_perf_event_open, 0, 0, -1, -1, 0));
  VERB("uffd") return tell(syscall(SYS_userfaultfd, 0));
  VERB("io-uring") return tell(syscall(SYS_io_uring_setup, 8, calloc(1, 512)));
  VERB("userns") return in_child(new_user_namespace);
  VERB("clone-userns") return in_child(clone_user_namespace);
  VERB("mountns") return in_child(new_mount_namespace);
  VERB("setns") return tell(setns(open(a, O_RDONLY), 0));
  VERB("chroot") return tell(chroot(a));
  VERB("pivot") return tell(syscall(SYS_pivot_root, a, a));
  VERB("kill") return tell(kill(atoi(a), SIGTERM));
  VERB("kill-all") return tell(kill(-1, 0));
  VERB("setuid") return tell(setresuid(1000, 1000, 1000));
  VERB("take") return take(a, atoi(b));
  VERB("take-all") return take(a, -1);
  VERB("owner") return owner(a);
  VERB("put-as")
  return setresuid((uid_t)atoi(a), (uid_t)atoi(a), (uid_t)atoi(a)) ? tell(-1) : put(b, c);
  VERB("regain") return regain_root();
  VERB("handle") return open_by_handle();
  VERB("reboot") return tell(syscall(SYS_reboot, 0, 0, 0, 0));
  VERB("module") return tell(syscall(SYS_init_module, "", 0, ""));
  VERB("swap") return tell(syscall(SYS_swapon, a, 0));
  VERB("clock") {
    struct timespec now = {0, 0};
    return tell(syscall(SYS_clock_settime, 0, &now));
  }
  VERB("sethostname") return tell(sethostname("x", 1));
  VERB("dmesg") return tell(syscall(SYS_syslog, 3, malloc(4096), 4096));
  VERB("ioport") return tell(syscall(SYS_ioperm, 0x80, 1, 1));
  VERB("raise-limit") {
    const struct rlimit limit = {1 << 26, 1 << 26};
    return tell(setrlimit(RLIMIT_NOFILE, &limit));
  }
  VERB("nice") return tell(setpriority(PRIO_PROCESS, 0, -10));
  VERB("tty") return steal_input();
  VERB("x32") return tell(syscall(0x40000000 | 39 /* getpid */));
  VERB("personality") return tell(syscall(SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */));
  fprintf(stderr, "probe: unknown verb %s\n", verb);
  return 64;
}
