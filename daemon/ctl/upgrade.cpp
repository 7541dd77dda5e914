#include "daemon/ctl/upgrade.hpp"

#include <chrono>
#include <iostream>
#include <thread>

#include <nlohmann/json.hpp>

#include "daemon/ctl/daemon_call.hpp"
#include "daemon/ctl/fail.hpp"
#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

using Clock = std::chrono::steady_clock;

// How soon the new daemon is noticed.
constexpr std::chrono::milliseconds kLookEvery{50};
// More than the supervisor takes to try the new version and to end the old one.
constexpr std::chrono::seconds kMostWait{30};

// The process of the daemon in its status; null if it does not say.
Json pid_in(const Json& status) {
  return status.value("pid", Json());
}

ExitCode await_another(const std::string& path, const Json& old_pid, bool tell) {
  const auto until = Clock::now() + kMostWait;
  while (Clock::now() < until) {
    const Outcome status = call(path, {"status"});
    if (!status && status.error().code != ExitCode::unreachable)
      return fail(status.error().code, status.error().message);
    if (status && pid_in(*status) != old_pid) {
      if (tell) {
        std::cout << "upgraded: backedpipd " << visible(text(*status, "version")) << ", pid "
                  << pid_in(*status).dump() << '\n';
      }
      return ExitCode::done;
    }
    std::this_thread::sleep_for(kLookEvery);
  }
  return fail(ExitCode::failed, "no new daemon has answered within " +
                                    std::to_string(kMostWait.count()) +
                                    " s; what the supervisor wrote to standard error says why");
}

}  // namespace

ExitCode upgrade(const std::string& path, const Options& options) {
  const Outcome before = call(path, {"status"});
  if (!before) return fail(before.error().code, before.error().message);
  const Outcome begun = call(path, {"upgrade"});
  if (!begun) return fail(begun.error().code, begun.error().message);
  if (options.json) std::cout << begun->dump(2) << std::endl;
  if (!options.wait) return ExitCode::done;
  return await_another(path, pid_in(*before), !options.json);
}

}  // namespace backedpipe::ctl
