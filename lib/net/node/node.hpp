// Node: a whole daemon, made from its settings: the workers, and what directs and watches them.
// Lives in main(), on the thread that runs the io_context. That thread serves no sessions.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "config/settings.hpp"
#include "control/operations.hpp"
#include "net/listen/passed_sockets.hpp"
#include "net/monitor/network_monitor.hpp"
#include "net/node/restore.hpp"
#include "net/report/control_server.hpp"
#include "net/report/http_server.hpp"
#include "net/report/metrics.hpp"
#include "net/worker/workers.hpp"
#include "session/descriptor_plan.hpp"

namespace backedpipe {

class Node final : public Operations {
 public:
  // Reads the settings again. Throws std::runtime_error with a sentence for people.
  using Reread = std::function<Settings()>;

  // Reads key and certificate files and binds every listener, so that every error shows before
  // anything starts. Throws std::runtime_error with a sentence for people. A socket that was passed
  // for a listener is used for it. What the process before this one has left is restored in
  // start(), if there is a keeper; `not_kept` is why not.
  Node(boost::asio::io_context& io, Settings settings, PassedSockets passed, KeptDescriptors& kept,
       Checked<Keeper> keeper, Reread reread);
  ~Node() override;

  void start();

  // New sessions and links use the new settings; existing ones keep theirs. If anything is wrong,
  // nothing changes. Logs the outcome.
  ReloadOutcome reload() override;

  DrainOutcome drain(std::optional<Duration> timeout) override;
  bool draining() const override { return drain_until_.has_value(); }
  ContinuitySnapshot continuity() const override;
  UpgradeOutcome upgrade() override;
  // Called once, when the drain is over: it is time for stop().
  void on_drained(std::function<void()> drained) { drained_ = std::move(drained); }

  // Ends in order, within about a second: a client closes its sessions and tells their servers; a
  // server refuses new links as "shutting down", so that clients keep trying. Then calls `stopped`.
  void stop(std::function<void()> stopped);

  // Sessions are continued by the next process, however this one ends.
  bool sessions_outlive_it() const { return continuity_ != nullptr; }
  // Leaves the sessions to the next process: tells the peers, for a fraction of a second at most,
  // and calls `parked`, which must end the process at once. Precondition: they outlive this one.
  void park(std::function<void()> parked);

  // Asks every worker, without waiting; `all_are` is called on this thread after the last answer.
  void ask(std::function<void()> all_are);

  struct SessionCounts {
    std::size_t connected = 0;
    std::size_t away = 0;  // no link at present
  };
  SessionCounts session_counts();

 private:
  std::unique_ptr<Continuity> begin_continuity(Checked<Keeper> keeper, KeptDescriptors& kept);
  void restore();
  void look_whether_it_lasts();
  void ends_in_order();
  void keep_listeners();
  void drop_listeners();
  void watch_network();
  void use(const Settings& wanted, ListeningSockets& sockets);
  void limit_sessions(const Limits& limits, bool one_identity);
  void limit_reports();
  void forget_tombstones_later();
  std::size_t sessions_to_wait_for();
  void look_whether_drained();
  void look_whether_drained_later();
  void look_whether_stopped();
  void look_whether_parked();
  std::size_t open_links();
  std::optional<HttpServer::Page> page(std::string_view path);

  Settings settings_;
  Reread reread_;
  SharedState shared_;
  std::string not_kept_;  // why sessions do not outlive the process
  Restored restored_;
  std::unique_ptr<Continuity> continuity_;
  Workers workers_;
  std::size_t descriptors_in_use_;  // at the start
  DescriptorPlan descriptors_;
  // The listening sockets that the keeper holds, by name.
  std::map<std::string, std::vector<int>> kept_listeners_;
  NetworkMonitor monitor_;
  std::unique_ptr<ControlServer> control_;
  Metrics metrics_;
  std::unique_ptr<HttpServer> http_;
  bool ready_ = false;  // started, and not being stopped
  bool watching_network_ = false;
  std::optional<TimePoint> drain_until_;
  std::function<void()> drained_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer tombstone_timer_;
  boost::asio::steady_timer lasting_timer_;
  TimePoint stop_began_{};
  std::function<void()> stopped_;
};

}  // namespace backedpipe
