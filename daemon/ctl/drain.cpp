#include "daemon/ctl/drain.hpp"

#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <thread>

#include <nlohmann/json.hpp>

#include "config/units.hpp"
#include "daemon/ctl/daemon_call.hpp"
#include "daemon/ctl/fail.hpp"
#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

// How soon the end of the daemon is noticed.
constexpr milliseconds kLookEvery{200};

std::uint64_t sessions_in(const Json& status) {
  std::uint64_t sum = 0;
  const auto sessions = status.find("sessions");
  if (sessions == status.end() || !sessions->is_object()) return 0;
  for (const Json& count : *sessions)
    sum += count.is_number_unsigned() ? count.get<std::uint64_t>() : 0;
  return sum;
}

// Waits until no daemon answers, or a new one that is not draining.
ExitCode await_end(const std::string& path, bool tell) {
  std::optional<std::uint64_t> told;
  while (true) {
    const Outcome status = call(path, {"status"});
    if (!status && status.error().code != ExitCode::unreachable)
      return fail(status.error().code, status.error().message);
    if (!status || !status->value("draining", false)) {
      if (tell) std::cout << "the daemon has ended\n";
      return ExitCode::done;
    }
    const std::uint64_t left = sessions_in(*status);
    if (tell && left != told) std::cout << counted(left, "session") << " left" << std::endl;
    told = left;
    std::this_thread::sleep_for(kLookEvery);
  }
}

}  // namespace

ExitCode drain(const std::string& path, const Options& options) {
  Request request{"drain"};
  if (options.timeout)
    request.params["timeout_s"] = std::chrono::duration<double>(*options.timeout).count();
  const Outcome begun = call(path, request);
  if (!begun) return fail(begun.error().code, begun.error().message);
  if (options.json) {
    std::cout << begun->dump(2) << std::endl;
  } else {
    const Json& seconds = begun->at("timeout_s");
    const auto most = milliseconds(static_cast<std::int64_t>(seconds.get<double>() * 1000));
    std::cout << "draining: no new sessions; it ends with the last one, in "
              << format_duration(most) << " at most" << std::endl;
  }
  return options.wait ? await_end(path, !options.json) : ExitCode::done;
}

ExitCode stop(const std::string& path, const Options& options) {
  const Outcome begun = call(path, {"stop"});
  if (!begun) return fail(begun.error().code, begun.error().message);
  if (options.json) std::cout << begun->dump(2) << std::endl;
  return options.wait ? await_end(path, !options.json) : ExitCode::done;
}

}  // namespace backedpipe::ctl
