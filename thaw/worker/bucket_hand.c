// SPDX-License-Identifier: Apache-2.0
//
// What the program that serves a bucket finds as "fusermount" in its sandbox. It mounts nothing: the
// folder is there already, made by who has the right to, and its device comes over a socket that
// only this sandbox has. The program gets one end of a pair of sockets in the place of the device,
// by the socket that _FUSE_COMMFD names, and a child of this stands between: it answers itself what
// the program answers wrongly (attributes of files, which there are none of, with "input/output
// error"), and hands on everything else. To unmount it does nothing: the folder ends with its
// container.
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char giver_path[] = "/run/bucket/hand.sock";
// The longest message is a write of 128 KiB and its head.
static char message[256 * 1024];

static void carry(struct msghdr* out, struct iovec* piece, char* byte, char* control, size_t size) {
  memset(control, 0, size);
  piece->iov_base = byte;
  piece->iov_len = 1;
  memset(out, 0, sizeof *out);
  out->msg_iov = piece;
  out->msg_iovlen = 1;
  out->msg_control = control;
  out->msg_controllen = size;
}

static int take_device(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, giver_path, sizeof giver_path);
  const int giver = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec piece;
  struct msghdr got;
  carry(&got, &piece, &byte, control, sizeof control);
  if (giver < 0 || connect(giver, (const struct sockaddr*)&address, sizeof address) != 0 ||
      recvmsg(giver, &got, MSG_CMSG_CLOEXEC) != 1) {
    return -1;
  }
  const struct cmsghdr* head = CMSG_FIRSTHDR(&got);
  int device = -1;
  if (head != NULL && head->cmsg_type == SCM_RIGHTS &&
      head->cmsg_len == CMSG_LEN(sizeof device)) {
    memcpy(&device, CMSG_DATA(head), sizeof device);
  }
  close(giver);
  return device;
}

static int give(int asker, int end) {
  char byte = 0, control[CMSG_SPACE(sizeof(int))];
  struct iovec piece;
  struct msghdr given;
  carry(&given, &piece, &byte, control, sizeof control);
  struct cmsghdr* head = CMSG_FIRSTHDR(&given);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof end);
  memcpy(CMSG_DATA(head), &end, sizeof end);
  return sendmsg(asker, &given, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

static int is_answered_here(const struct fuse_in_header* request) {
  return request->opcode == FUSE_SETXATTR || request->opcode == FUSE_GETXATTR ||
         request->opcode == FUSE_LISTXATTR || request->opcode == FUSE_REMOVEXATTR;
}

// The kernel asks no more once it was told that there is no such thing.
static void refuse(int device, const struct fuse_in_header* request) {
  const struct fuse_out_header answer = {
      .len = sizeof answer, .error = -ENOSYS, .unique = request->unique};
  (void)!write(device, &answer, sizeof answer);
}

// Until one of them has ended; then the device is closed, and whoever waits for it is told.
static void stand_between(int device, int program) {
  struct pollfd ends[2] = {{device, POLLIN, 0}, {program, POLLIN, 0}};
  while (poll(ends, 2, -1) > 0 || errno == EINTR) {
    if (ends[0].revents != 0) {
      const ssize_t size = read(device, message, sizeof message);
      const struct fuse_in_header* request = (const struct fuse_in_header*)message;
      if (size < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT) {
        return;
      }
      if (size >= (ssize_t)sizeof *request && is_answered_here(request)) {
        refuse(device, request);
      } else if (size > 0 && send(program, message, (size_t)size, MSG_NOSIGNAL) != size) {
        return;
      }
    }
    if (ends[1].revents != 0) {
      const ssize_t size = recv(program, message, sizeof message, 0);
      if (size == 0 || (size < 0 && errno != EINTR)) {
        return;
      }
      // One whose request was given up meanwhile is nobody's any more.
      (void)!write(device, message, (size_t)size);
    }
  }
}

int main(void) {
  const char* asked = getenv("_FUSE_COMMFD");
  if (asked == NULL) {
    return 0;
  }
  int pair[2];
  const int device = take_device();
  // A request that is given up between poll() and read() is not waited for: the others would wait too.
  if (device < 0 || fcntl(device, F_SETFL, O_NONBLOCK) != 0 ||
      socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 || give(atoi(asked), pair[1]) != 0) {
    static const char failed[] = "the device of the bucket's folder was not handed over\n";
    (void)!write(STDERR_FILENO, failed, sizeof failed - 1);
    return 1;
  }
  close(pair[1]);
  if (fork() == 0) {
    for (int fd = 0; fd < 64; ++fd) {
      if (fd != device && fd != pair[0]) {
        close(fd);
      }
    }
    stand_between(device, pair[0]);
    _exit(0);
  }
  return 0;
}
