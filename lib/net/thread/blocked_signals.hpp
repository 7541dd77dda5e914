// Which threads take the signals that end or direct the process, and until when.
#pragma once

#include <csignal>
#include <initializer_list>
#include <pthread.h>

namespace backedpipe {

// Blocks these signals on the calling thread and returns its previous mask. The main thread calls
// it when the process is about to end: no handler is left by then, and one more signal would kill
// the process, with another exit status.
inline sigset_t block_signals() {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    ::sigaddset(&blocked, signal);
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  return before;
}

// While it exists, new threads start with these signals blocked: only the thread that listens for
// them receives them.
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
