// backedpipd: reads the settings and runs a node until a signal stops it.
#include <csignal>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <spdlog/spdlog.h>

#include "daemon/log.hpp"
#include "daemon/options.hpp"
#include "daemon/service_manager.hpp"
#include "daemon/stdio.hpp"
#include "daemon/supervise.hpp"
#include "net/keep/keeper.hpp"
#include "net/keep/kept_descriptors.hpp"
#include "net/node/node.hpp"
#include "net/thread/blocked_signals.hpp"
#include "net/thread/event_loop.hpp"

namespace {

using namespace backedpipe;

// Each session takes two descriptors. The default soft limit of 1024 exists only for programs that
// use select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// One line about the sessions, for the service manager.
std::string status_line(Node& node) {
  const Node::SessionCounts count = node.session_counts();
  return std::string(node.draining() ? "Draining. " : "") +
         "Sessions: " + std::to_string(count.connected) + " connected, " +
         std::to_string(count.away) + " without a link";
}

// What an earlier process left, and this one has no use for. It must not stop the start: the
// settings may have changed meanwhile.
void give_up(KeptDescriptors& rest) {
  const std::vector<std::string> names = rest.close_rest();
  if (names.empty()) return;
  const Checked<Keeper> keeper = Keeper::from_environment();
  for (const std::string& name : names) {
    spdlog::info("descriptors that were kept as \"{}\" have no use any more", name);
    // Where this fails they are given up at the next start.
    if (keeper) static_cast<void>(keeper->drop(name));
  }
}

void run(const Command& command) {
  const Settings& settings = command.settings;
  set_up_log(settings.log);
  raise_descriptor_limit();
  // OpenSSL writes with write(2), which would raise SIGPIPE on a link that is gone.
  std::signal(SIGPIPE, SIG_IGN);

  boost::asio::io_context io(1);
  ServiceManager manager(io);
  std::vector<PassedDescriptor> passed = passed_descriptors();
  KeptDescriptors kept = KeptDescriptors::out_of(passed);
  Node node(io, settings, PassedSockets(passed), kept, Keeper::from_environment(), command.reread);
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);
  // `now` ends the daemon. A second signal does so at once.
  const auto end_by = [&](const std::function<void()>& now) {
    signals.cancel();
    signals.async_wait([now](const boost::system::error_code& again, int) {
      if (!again) now();
    });
  };
  const auto stop = [&] {
    const auto now = [&io] { io.stop(); };
    manager.stopping();
    end_by(now);
    node.stop(now);
  };
  const auto park = [&] {
    // Without an orderly end of what this process has: the connections are not its own any more.
    const auto now = [] {
      spdlog::shutdown();
      std::_Exit(0);
    };
    manager.parking();
    end_by(now);
    node.park(now);
  };
  signals.async_wait([&](const boost::system::error_code& error, int signal) {
    if (error) return;
    spdlog::info("signal {}", signal);
    if (signal == SIGTERM && node.sessions_outlive_it()) {
      park();
    } else {
      stop();
    }
  });
  node.on_drained(stop);
  boost::asio::signal_set reload_signal(io, SIGHUP);
  const std::function<void()> await_reload = [&] {
    reload_signal.async_wait([&](const boost::system::error_code& error, int) {
      if (error) return;
      manager.reloading();
      node.reload();
      manager.reloaded();
      await_reload();
    });
  };
  await_reload();
  spdlog::info("backedpipd {} starts", BACKEDPIPE_VERSION);
  node.start();
  manager.ready([&node] { return status_line(node); },
                [&node](std::function<void()> all_are) { node.ask(std::move(all_are)); });
  give_up(kept);
  run_events(io);
  block_signals();
}

int run_supervisor(const Command& command, int argc, char** argv) {
  // It holds descriptors of the daemon.
  raise_descriptor_limit();
  Supervision supervision;
  supervision.own_command.assign(argv, argv + argc);
  supervision.child_command = command.supervised;
  supervision.child_command.insert(supervision.child_command.begin(), argv[0]);
  supervision.trial_option = command.file.empty() ? "--version" : "--check";
  return supervise(supervision);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const backedpipe::Command command = backedpipe::parse_command_line(argc, argv);
    switch (command.kind) {
      case backedpipe::Command::Kind::print:
        std::cout << command.text;
        break;
      case backedpipe::Command::Kind::check:
        for (const auto& warning : command.warnings)
          std::cerr << "warning: " << to_string(warning) << '\n';
        std::cout << command.file << ": ok\n";
        break;
      case backedpipe::Command::Kind::run:
        run(command);
        break;
      case backedpipe::Command::Kind::supervise:
        return run_supervisor(command, argc, argv);
      case backedpipe::Command::Kind::stdio:
        return backedpipe::run_stdio(command.settings, command.stdio);
    }
    return 0;
  } catch (const backedpipe::UsageError& error) {
    std::cerr << "backedpipd: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "backedpipd: " << error.what() << '\n';
    return 1;
  }
}
