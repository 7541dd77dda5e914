// Which threads take the signals that end or direct the process, and until when.
#pragma once

#include <csignal>
#include <initializer_list>
#include <pthread.h>

namespace backedpipe {

// From now on the calling thread takes none of them. Returns what it took before. For the main
// thread once the process is about to end: with nobody left to listen, one more signal would
// end it before it has done so itself, and with another exit status.
inline sigset_t block_signals() {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    ::sigaddset(&blocked, signal);
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  return before;
}

// While it lives, threads that are made take none: those are for the thread that listens for
// them, and need not interrupt the others.
class BlockedSignals {
 public:
  BlockedSignals() : before_(block_signals()) {}
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace backedpipe
