/* SPDX-License-Identifier: Apache-2.0
 *
 * The first and only program of a guest that has cgroups v2 and nothing else: it mounts what a test
 * needs, runs the commands of /commands one after another, prints how each ended, and switches the
 * machine off. Static, because the guest's root holds nothing but the tests and their libraries. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void mount_at(const char* type, const char* where) {
  mkdir(where, 0755);
  if (mount(type, where, type, 0, 0) != 0) {
    printf("guest: cannot mount %s at %s\n", type, where);
  }
}

static void load_module(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && syscall(SYS_finit_module, fd, "", 0) != 0) {
    printf("guest: cannot load %s\n", path);
  }
  close(fd);
}

static void run(char* line) {
  char* words[16];
  int count = 0;
  for (char* word = strtok(line, "|"); word && count < 15; word = strtok(0, "|")) {
    words[count++] = word;
  }
  words[count] = 0;
  const pid_t pid = fork();
  if (pid == 0) {
    execv(words[0], words);
    _exit(127);
  }
  int status = 0;
  /* Orphans of the tests are ours too. */
  for (pid_t ended = 0; (ended = wait(&status)) > 0 && ended != pid;) {
  }
  printf("guest: %s ended with %d\n", words[0],
         WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  mount_at("proc", "/proc");
  mount_at("sysfs", "/sys");
  mount_at("devtmpfs", "/dev");
  mount_at("cgroup2", "/sys/fs/cgroup");
  mount_at("tmpfs", "/tmp");
  mount_at("tmpfs", "/run");
  mkdir("/dev/shm", 0755);
  load_module("/overlay.ko");
  setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  FILE* commands = fopen("/commands", "r");
  char line[1024];
  while (commands && fgets(line, sizeof line, commands)) {
    line[strcspn(line, "\n")] = 0;
    run(line);
  }
  printf("guest: done\n");
  sync();
  reboot(RB_POWER_OFF);
  return 0;
}
