#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "daemon/descriptor_store.hpp"
#include "daemon/supervise.hpp"
#include "net/keep/environment.hpp"
#include "net/keep/notify_socket.hpp"
#include "net/keep/supervisor.hpp"

namespace backedpipe {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A daemon that lived this long did not die of its start: the next one is started at once again.
constexpr auto kLivesWell = std::chrono::seconds(10);
constexpr milliseconds kLeastBackoff{10};
constexpr milliseconds kMostBackoff{1000};
// How long a daemon that is to be replaced may take to end. Whatever it holds has been kept.
constexpr auto kEndsWithin = std::chrono::seconds(10);
constexpr unsigned kTrialSeconds = 10;
// What one version of the supervisor leaves to the next, which executes in the same process.
constexpr char kStateVariable[] = "BACKEDPIPE_SUPERVISOR_STATE";

void say(const std::string& what) {
  std::cerr << "backedpipd: " + what + '\n';
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

sigset_t handled_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD})
    ::sigaddset(&set, signal);
  return set;
}

// The file to execute for the next daemon. As this process was called, because a link may lead to
// another version by then. The path in /proc/self/exe leads to this version, and ends in
// " (deleted)" once that was replaced.
std::string executable() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): getauxval() returns pointers as numbers.
  const auto* const called = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (called != nullptr && fs::equivalent(called, "/proc/self/exe", ignored))
    return fs::absolute(called);
  std::string path = fs::read_symlink("/proc/self/exe");
  constexpr std::string_view kDeleted = " (deleted)";
  if (path.size() > kDeleted.size() && path.ends_with(kDeleted))
    path.resize(path.size() - kDeleted.size());
  return path;
}

// Returns only when the program cannot be executed.
void execute(const std::string& path, const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  ::execv(path.c_str(), arguments.data());
  say("cannot execute " + path + ": " + std::strerror(errno));
}

std::string in_words(int status) {
  if (WIFSIGNALED(status)) return "was ended by signal " + std::to_string(WTERMSIG(status));
  return "exited with " + std::to_string(WEXITSTATUS(status));
}

// Ends this process as that status says.
int end_like(int status) {
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  const int signal = WTERMSIG(status);
  // The daemon has left a core file if there is to be one.
  const rlimit none{};
  ::setrlimit(RLIMIT_CORE, &none);
  std::signal(signal, SIG_DFL);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::sigprocmask(SIG_UNBLOCK, &only, nullptr);
  std::raise(signal);
  return 128 + signal;  // the first process of a container: no signal ends it
}

// The lines of a child's message that are for the supervisor's own service manager.
std::string for_manager(std::string_view text, bool being_replaced) {
  std::string lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const auto is = [line](std::string_view key) { return line.starts_with(key); };
    // The end of a daemon that is being replaced is not the end of the service.
    if (is("WATCHDOG=1") ||
        (!being_replaced && (is("READY=") || is("STATUS=") || is("RELOADING=") ||
                             is("MONOTONIC_USEC=") || is("STOPPING=")))) {
      lines += lines.empty() ? "" : "\n";
      lines += line;
    }
  }
  return lines;
}

bool says_ready(std::string_view text) {
  return text == "READY=1" || text.starts_with("READY=1\n") ||
         text.find("\nREADY=1") != std::string_view::npos;
}

// Moves the descriptors to 3 and up, and leaves them open for the next program.
bool place(std::vector<PassedDescriptor>& passed) {
  constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
  const int behind = kFirst + static_cast<int>(passed.size());
  int target = kFirst;
  for (auto each = passed.begin(); each != passed.end(); ++each, ++target) {
    if (each->descriptor == target) {
      if (::fcntl(target, F_SETFD, 0) != 0) return false;
      continue;
    }
    for (auto later = std::next(each); later != passed.end(); ++later) {
      if (later->descriptor != target) continue;
      later->descriptor = ::fcntl(target, F_DUPFD_CLOEXEC, behind);
      if (later->descriptor < 0) return false;
    }
    if (::dup2(each->descriptor, target) < 0) return false;
  }
  return true;
}

class Supervisor {
 public:
  explicit Supervisor(const Supervision& supervision)
      : supervision_(supervision), path_(executable()) {
    // Ignored by inheritance, it would have the kernel throw exit statuses away.
    std::signal(SIGCHLD, SIG_DFL);
    // A line on a closed standard error must not end the supervisor.
    std::signal(SIGPIPE, SIG_IGN);
    const sigset_t handled = handled_signals();
    ::sigprocmask(SIG_BLOCK, &handled, nullptr);
    signals_ = ::signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals_ < 0) fail("signalfd");
    if (const auto path = environment("NOTIFY_SOCKET"); !path.empty()) manager_.emplace(path);
    if (const std::string state(environment(kStateVariable)); !state.empty()) {
      ::unsetenv(kStateVariable);
      take_over(state);
    } else {
      store_ = std::make_unique<DescriptorStore>(passed_descriptors());
      start();
    }
  }

  int run() {
    while (!exit_status_) {
      pollfd waits[] = {{signals_, POLLIN, 0}, {store_->socket(), POLLIN, 0}};
      ::poll(waits, std::size(waits), milliseconds_to_wait());
      hear_child();
      take_signals();
      reap();
      if (kill_at_ && Clock::now() >= *kill_at_) {
        say("the daemon that is to be replaced does not end: it is killed");
        kill_at_.reset();
        ::kill(child_, SIGKILL);
      }
      if (start_at_ && Clock::now() >= *start_at_) start();
    }
    return *exit_status_;
  }

 private:
  int milliseconds_to_wait() const {
    if (!start_at_ && !kill_at_) return -1;
    const auto until = std::min(start_at_.value_or(Clock::time_point::max()),
                                kill_at_.value_or(Clock::time_point::max()));
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    return static_cast<int>(std::max(left, milliseconds(0)).count());
  }

  // --- the child

  void start() {
    start_at_.reset();
    started_ = Clock::now();
    ready_ = reload_when_ready_ = parked_ = false;
    const pid_t supervisor = ::getpid();
    child_ = ::fork();
    if (child_ == 0) {
      become_child(supervisor);
      ::_exit(127);
    }
    if (child_ > 0) return;
    if (!was_ready_) fail("fork");
    say(std::string("cannot start the daemon: ") + std::strerror(errno));
    child_ = 0;
    start_at_ = started_ + kMostBackoff;
  }

  // In the child. Returns when that is not possible.
  void become_child(pid_t supervisor) {
    // Nobody keeps its descriptors any more when the supervisor was killed, so it ends in order.
    ::prctl(PR_SET_PDEATHSIG, SIGINT);
    if (::getppid() != supervisor) return;
    // Not in the terminal's group of processes: an interrupt from there would come twice, and the
    // second signal ends a daemon at once.
    ::setsid();
    // A shell has its background processes ignore interrupts. What comes before the daemon handles
    // signals would then be lost.
    for (const int signal : {SIGPIPE, SIGTERM, SIGINT})
      std::signal(signal, SIG_DFL);
    const sigset_t handled = handled_signals();
    ::sigprocmask(SIG_UNBLOCK, &handled, nullptr);
    std::vector<PassedDescriptor> passed = store_->all();
    set("NOTIFY_SOCKET", store_->address());
    set("FDSTORE", std::to_string(DescriptorStore::kMost));
    set(kSupervisorVariable, std::to_string(supervisor));
    set("LISTEN_PID", std::to_string(::getpid()));
    set("LISTEN_FDS", std::to_string(passed.size()));
    std::string names;
    for (const PassedDescriptor& each : passed)
      names += (&each == &passed.front() ? "" : ":") + each.name;
    set("LISTEN_FDNAMES", names);
    // The watchdog of the supervisor is fed by the child.
    const auto fed = environment("WATCHDOG_PID");
    if (!fed.empty() && whole_number(fed) != static_cast<std::uint64_t>(supervisor))
      ::unsetenv("WATCHDOG_USEC");
    ::unsetenv("WATCHDOG_PID");
    if (!place(passed)) {
      say(std::string("cannot pass the descriptors: ") + std::strerror(errno));
      return;
    }
    execute(path_, supervision_.child_command);
  }

  static void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

  void hear_child() {
    store_->receive(child_, [this](std::string_view text) {
      // Without the first of these the start of the service would fail.
      const auto wait =
          !was_ready_ && says_ready(text) ? NotifySocket::Wait::yes : NotifySocket::Wait::no;
      if (says_ready(text)) {
        ready_ = was_ready_ = true;
        if (std::exchange(reload_when_ready_, false)) ::kill(child_, SIGHUP);
      }
      if (text == kParkingMessage) parked_ = true;
      const std::string lines = for_manager(text, replacing_ || parked_);
      if (manager_ && !lines.empty()) manager_->send(lines, wait);
    });
  }

  // Also the orphans that the first process of a container inherits.
  void reap() {
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(-1, &status, WNOHANG)) > 0) {
      if (ended != child_) continue;
      hear_child();  // what it said last, of which may be what is to be kept
      child_ = 0;
      ended_with(status);
    }
  }

  void ended_with(int status) {
    kill_at_.reset();
    const bool replaced = std::exchange(replacing_, false);
    const bool parked = std::exchange(parked_, false);
    if ((replaced || parked) && !stopping_) {
      backoff_ = milliseconds(0);
      start_at_ = Clock::now();
      return;
    }
    const bool in_order = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (stopping_ || in_order || !was_ready_) {
      exit_status_ = end_like(status);
      return;
    }
    if (Clock::now() - started_ >= kLivesWell) backoff_ = milliseconds(0);
    say("the daemon " + in_words(status) + (ready_ ? "" : " before it was ready") +
        "; it is started again" +
        (backoff_.count() > 0 ? " in " + std::to_string(backoff_.count()) + " ms" : ""));
    start_at_ = Clock::now() + backoff_;
    backoff_ = std::clamp(2 * backoff_, kLeastBackoff, kMostBackoff);
  }

  // --- signals

  void take_signals() {
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      const int signal = static_cast<int>(info.ssi_signo);
      if (signal == SIGTERM || signal == SIGINT) {
        stop();
      } else if (signal == SIGUSR2) {
        upgrade();
      } else if (signal == SIGHUP && !ready_) {
        reload_when_ready_ = true;  // before that it would end the daemon
      } else if (signal != SIGCHLD && child_ > 0) {
        ::kill(child_, signal);
      }
    }
  }

  // What the supervisor keeps goes with it, so the daemon has to end its sessions.
  void stop() {
    const bool told = replacing_ && !stopping_;
    stopping_ = true;
    start_at_.reset();
    if (child_ <= 0) {
      exit_status_ = 0;
    } else if (!told) {  // otherwise it ends already, and a second signal would end it at once
      ::kill(child_, SIGINT);
    }
  }

  // --- a new version

  // Executes the new version in this process, which then replaces the child. Returns if that is
  // not possible.
  void upgrade() {
    if (stopping_ || replacing_) return;
    if (!can_work()) {
      say("not upgraded: " + path_ + " cannot replace this version, which goes on");
      return;
    }
    say("upgrading");
    set(kStateVariable,
        std::to_string(child_) + ' ' + (was_ready_ ? "1" : "0") + '\n' + store_->release());
    execute(path_, supervision_.own_command);
    ::unsetenv(kStateVariable);
    store_->keep_closed();
    say("not upgraded: this version goes on");
  }

  // Whether the file can be executed, and accepts the command line and the configuration.
  bool can_work() {
    const pid_t trial = ::fork();
    if (trial < 0) return false;
    if (trial == 0) {
      const sigset_t handled = handled_signals();
      ::sigprocmask(SIG_UNBLOCK, &handled, nullptr);
      ::alarm(kTrialSeconds);  // execution does not take it back
      const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
      if (nowhere >= 0) ::dup2(nowhere, STDOUT_FILENO);
      std::vector<std::string> command = supervision_.own_command;
      command.push_back(supervision_.trial_option);
      execute(path_, command);
      ::_exit(127);
    }
    int status = 0;
    while (::waitpid(trial, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  // The other half of upgrade(), in the new version.
  void take_over(std::string_view state) {
    const std::size_t end = state.find('\n');
    const std::string_view first = state.substr(0, end);
    const std::size_t space = first.find(' ');
    if (end == std::string_view::npos || space == std::string_view::npos)
      throw std::runtime_error(std::string(kStateVariable) + " is not what a supervisor sets");
    child_ = static_cast<pid_t>(whole_number(first.substr(0, space)));
    was_ready_ = first.substr(space + 1) == "1";
    store_ = std::make_unique<DescriptorStore>(state.substr(end + 1));
    started_ = Clock::now();
    ready_ = was_ready_;
    if (child_ == 0) {
      start();
      return;
    }
    replacing_ = true;
    kill_at_ = Clock::now() + kEndsWithin;
    // It leaves its sessions to the next one.
    ::kill(child_, SIGTERM);
  }

  const Supervision& supervision_;
  const std::string path_;
  int signals_ = -1;
  std::optional<NotifySocket> manager_;  // the supervisor's own, if it has one
  std::unique_ptr<DescriptorStore> store_;

  pid_t child_ = 0;     // 0: there is none
  bool ready_ = false;  // this child has been ready
  bool reload_when_ready_ = false;
  bool was_ready_ = false;  // a child has been ready, so that the settings are known to work
  bool replacing_ = false;  // the child has been told to end, so that the next one can start
  bool parked_ = false;     // it has said that the next one continues its sessions
  bool stopping_ = false;   // with its end the supervisor ends
  Clock::time_point started_{};
  std::optional<Clock::time_point> start_at_;
  std::optional<Clock::time_point> kill_at_;
  milliseconds backoff_{0};
  std::optional<int> exit_status_;
};

}  // namespace

int supervise(const Supervision& supervision) {
  return Supervisor(supervision).run();
}

}  // namespace backedpipe
