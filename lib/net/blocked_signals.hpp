// BlockedSignals: while it lives, threads that are made take no signal that ends or directs the
// process: those are for the thread that listens for them, and need not interrupt the others.
#pragma once

#include <csignal>
#include <initializer_list>
#include <pthread.h>

namespace backedpipe {

class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t blocked;
    ::sigemptyset(&blocked);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
      ::sigaddset(&blocked, signal);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace backedpipe
