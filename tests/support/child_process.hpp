// ChildProcess: a copy of the test's process that does one thing and is then killed, at the latest
// with this object. Its descriptors are copies of the test's. Fork it while the test has no other
// thread.
#pragma once

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace backedpipe::test {

class ChildProcess {
 public:
  // The child runs `task(report)`, then exits with 0; with 1 if an assertion in it has failed, or
  // it has thrown.
  using Report = std::function<void(std::int64_t)>;
  explicit ChildProcess(const std::function<void(const Report&)>& task) {
    if (::pipe(reports_) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ < 0) std::abort();
    if (pid_ == 0) {
      ::close(reports_[0]);
      run(task);
    }
    ::close(reports_[1]);
  }
  ~ChildProcess() {
    kill();
    ::close(reports_[0]);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }

  // Waits for what the child reports next; -1 if it ends without a report.
  std::int64_t next_report() {
    std::int64_t value = -1;
    return ::read(reports_[0], &value, sizeof value) == sizeof value ? value : -1;
  }

  // SIGKILL: the child does not notice. Returns once it is gone, and all that it held.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }

  // Waits until the child ends. True: by itself, with nothing wrong.
  bool wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  [[noreturn]] void run(const std::function<void(const Report&)>& task) {
    int status = 1;
    try {
      task([this](std::int64_t value) {
        if (::write(reports_[1], &value, sizeof value) != sizeof value) ::_exit(1);
      });
      if (!testing::Test::HasFailure()) status = 0;
    } catch (...) {
    }
    // Not exit(): the test's destructors and output are not the child's.
    ::_exit(status);
  }

  int reports_[2];
  pid_t pid_;
};

}  // namespace backedpipe::test
