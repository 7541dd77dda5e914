// Preloaded into a daemon (ld.so(8)): kills the process as soon as it uses one of the connections whose peers' ports are
// in the file that DEADLY_CONNECTIONS names, one a line, each after the word "count" or "read":
//   count PORT   when it asks the system how much has passed on the connection
//   read PORT    when it reads from it
// Stands in for a fault that one session brings out. Until the file exists, nothing is changed.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static void use(int descriptor, const char* how) {
  struct sockaddr_in peer;
  socklen_t size = sizeof peer;
  if (getpeername(descriptor, (struct sockaddr*)&peer, &size) != 0 || peer.sin_family != AF_INET) return;
  const char* const path = getenv("DEADLY_CONNECTIONS");
  FILE* const file = path == NULL ? NULL : fopen(path, "re");
  if (file == NULL) return;
  char word[16];
  unsigned port;
  while (fscanf(file, "%15s %u", word, &port) == 2)
    if (port == ntohs(peer.sin_port) && strcmp(word, how) == 0) kill(getpid(), SIGKILL);
  fclose(file);
}

int getsockopt(int descriptor, int level, int name, void* value, socklen_t* size) {
  static int (*next)(int, int, int, void*, socklen_t*);
  if (next == NULL) next = (int (*)(int, int, int, void*, socklen_t*))dlsym(RTLD_NEXT, "getsockopt");
  if (level == IPPROTO_TCP && name == TCP_INFO) use(descriptor, "count");
  return next(descriptor, level, name, value, size);
}

ssize_t recv(int descriptor, void* bytes, size_t size, int flags) {
  static ssize_t (*next)(int, void*, size_t, int);
  if (next == NULL) next = (ssize_t(*)(int, void*, size_t, int))dlsym(RTLD_NEXT, "recv");
  use(descriptor, "read");
  return next(descriptor, bytes, size, flags);
}

ssize_t readv(int descriptor, const struct iovec* pieces, int count) {
  static ssize_t (*next)(int, const struct iovec*, int);
  if (next == NULL) next = (ssize_t(*)(int, const struct iovec*, int))dlsym(RTLD_NEXT, "readv");
  use(descriptor, "read");
  return next(descriptor, pieces, count);
}
