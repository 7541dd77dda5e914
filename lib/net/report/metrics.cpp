#include "net/report/metrics.hpp"

#include <chrono>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <string_view>
#include <utility>
#include <vector>

#include "net/clock.hpp"

namespace backedpipe {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// From a link on the same desk to a night in suspend.
const prometheus::Histogram::BucketBoundaries kReconnectSeconds{
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28800};

class Families {
 public:
  Families& family(std::string name, std::string help, MetricType type) {
    families_.push_back({std::move(name), std::move(help), type, {}});
    return *this;
  }
  Families& counter(std::string name, std::string help) {
    return family(std::move(name), std::move(help), MetricType::Counter);
  }
  Families& gauge(std::string name, std::string help) {
    return family(std::move(name), std::move(help), MetricType::Gauge);
  }
  Families& add(Labels labels, std::uint64_t value) {
    return add(std::move(labels), static_cast<double>(value));
  }
  Families& add(Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    (families_.back().type == MetricType::Counter ? metric.counter.value : metric.gauge.value) =
        value;
    return add(std::move(metric));
  }
  Families& add(ClientMetric metric) {
    families_.back().metric.push_back(std::move(metric));
    return *this;
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

// The sums over all sessions of one role, including ended ones.
struct Sum {
  std::uint64_t connected = 0;
  std::uint64_t away = 0;
  std::uint64_t suspect = 0;
  std::uint64_t not_kept = 0;
  std::uint64_t unacknowledged_bytes = 0;
  std::uint64_t buffered_bytes = 0;
  SessionTotals totals;

  Sum& operator+=(const Sum& other) {
    connected += other.connected;
    away += other.away;
    suspect += other.suspect;
    not_kept += other.not_kept;
    unacknowledged_bytes += other.unacknowledged_bytes;
    buffered_bytes += other.buffered_bytes;
    totals += other.totals;
    return *this;
  }
};

// The numbers of one worker, or of all.
struct Report {
  std::array<Sum, 2> of;  // by role
  std::map<std::string, std::uint64_t> handshake_failures;
  std::uint64_t pending_handshakes = 0;
  std::map<std::string, std::uint64_t> dials;         // by peer
  std::map<std::string, bool> down;                   // by peer
  std::map<std::string, std::uint64_t> spare_links;   // by peer
  std::map<std::string, std::uint64_t> links_reused;  // by peer
};

constexpr std::array kRoles{"client", "server"};

template <typename Sessions>
Sum sum_of(const SessionTotals& totals, const Sessions& sessions) {
  Sum sum;
  sum.totals = totals;
  for (const auto& [id, driver] : sessions) {
    const BackedPipe& pipe = driver->session().pipe();
    const bool connected = pipe.state() == PipeState::connected;
    sum.connected += connected ? 1 : 0;
    sum.away += connected ? 0 : 1;
    sum.suspect += driver->session().suspect() ? 1 : 0;
    sum.not_kept += driver->session().ledger().kept() ? 0 : 1;
    sum.unacknowledged_bytes += pipe.writer().ring().size();
    sum.buffered_bytes += pipe.writer().ring().size() + pipe.reader().ring().size();
    driver->log().add_to(sum.totals);
  }
  return sum;
}

Report report_of(Worker& worker) {
  Report report;
  report.of = {sum_of(worker.dialled.totals(), worker.dialled.all()),
               sum_of(worker.accepted.totals(), worker.accepted.all())};
  for (const auto& [reason, count] : worker.acceptor.refusals().counts())
    report.handshake_failures[std::string(reason)] = count;
  for (const auto& listener : worker.acceptor.listeners())
    report.pending_handshakes += listener->handshake_count;
  for (const auto& [name, peer] : worker.dialler.peers()) {
    report.dials[name] = peer.gate->cache()->dials();
    report.down[name] = peer.gate->view().state == PeerGate::State::down;
    report.spare_links[name] = peer.gate->spares().size();
    report.links_reused[name] = peer.links_reused;
  }
  return report;
}

Report sum_of(const std::vector<Report>& parts) {
  Report sum;
  for (const Report& part : parts) {
    for (std::size_t i = 0; i < sum.of.size(); ++i)
      sum.of[i] += part.of[i];
    for (const auto& [reason, count] : part.handshake_failures)
      sum.handshake_failures[reason] += count;
    sum.pending_handshakes += part.pending_handshakes;
    // These are the same on all workers.
    sum.dials.insert(part.dials.begin(), part.dials.end());
    sum.down.insert(part.down.begin(), part.down.end());
    sum.spare_links.insert(part.spare_links.begin(), part.spare_links.end());
    for (const auto& [name, count] : part.links_reused)
      sum.links_reused[name] += count;
  }
  return sum;
}

}  // namespace

Metrics::Metrics(SharedState& shared, Workers& workers)
    : shared_(shared),
      workers_(workers),
      started_at_(wall_now()),
      reconnect_seconds_(kReconnectSeconds) {
  // Present from the beginning: a rate needs a value before the first event.
  for (Of& of : of_)
    of.attaches = {{"open", 0}, {"resume", 0}, {"takeover", 0}};
  shared.events.listen([this](const Event& event) { count(event); });
}

void Metrics::count(const Event& event) {
  Of& of = of_[event.role == Role::client ? 0 : 1];
  switch (event.kind) {
    case Event::Kind::attach:
    case Event::Kind::takeover:
      ++of.attaches[event.reason];
      if (event.duration) {
        reconnect_seconds_.Observe(std::chrono::duration<double>(*event.duration).count());
      }
      break;
    case Event::Kind::detach:
      ++of.detaches[event.reason];
      break;
    case Event::Kind::close:
      ++of.ends[event.reason];
      break;
    default:
      break;
  }
}

std::string Metrics::text(const ContinuitySnapshot& continuity) {
  const Report report = sum_of(workers_.gather(report_of));
  // The events that the workers have already counted must be counted here as well.
  shared_.events.deliver();
  const auto& sums = report.of;
  Families out;
  const auto by_role = [&](auto value) {
    for (std::size_t i = 0; i < sums.size(); ++i)
      out.add({{"role", kRoles[i]}}, value(sums[i]));
  };
  const auto by_reason = [&](Counts Of::*counts) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      for (const auto& [reason, count] : of_[i].*counts)
        out.add({{"role", kRoles[i]}, {"reason", reason}}, count);
    }
  };

  out.gauge("backedpipe_build_info", "The version of this daemon; always 1.");
  out.add({{"version", BACKEDPIPE_VERSION}}, 1.0);
  const std::chrono::duration<double> since_1970 = started_at_.time_since_epoch();
  out.gauge("backedpipe_start_time_seconds", "When this process began, in seconds since 1970.")
      .add({}, since_1970.count());
  out.gauge("backedpipe_continuity", "1: sessions outlive this process. 0: they end with it.")
      .add({}, continuity.kept ? 1.0 : 0.0);
  out.counter("backedpipe_restarts_total",
              "Processes that have continued the sessions of the one before them.")
      .add({}, continuity.restarts);
  out.gauge("backedpipe_restored_sessions", "Sessions that this process has continued.")
      .add({}, continuity.restored);
  out.gauge("backedpipe_lost_sessions",
            "Sessions of the process before that this one could not continue, and has reset.")
      .add({}, continuity.lost);
  out.gauge("backedpipe_sessions", "Sessions there are.");
  for (std::size_t i = 0; i < sums.size(); ++i) {
    // For users, a client's session that waits for its next attempt is already reconnecting.
    const char* const away = i == 0 ? "reconnecting" : "disconnected";
    out.add({{"role", kRoles[i]}, {"state", "connected"}}, sums[i].connected);
    out.add({{"role", kRoles[i]}, {"state", away}}, sums[i].away);
  }
  out.gauge("backedpipe_suspect_sessions", "Connected sessions whose link owes an answer.");
  by_role([](const Sum& sum) { return sum.suspect; });
  out.gauge("backedpipe_sessions_not_kept", "Sessions that would end with this process.");
  by_role([](const Sum& sum) { return sum.not_kept; });
  out.counter("backedpipe_sessions_opened_total", "Sessions begun.");
  by_role([](const Sum& sum) { return sum.totals.opened; });
  out.counter("backedpipe_sessions_ended_total", "Sessions that are over, and why.");
  by_reason(&Of::ends);
  out.counter("backedpipe_attaches_total",
              "Links that sessions got: their first, one after a loss, or one that took over.");
  by_reason(&Of::attaches);
  out.counter("backedpipe_detaches_total", "Links that sessions lost or let go of, and why.");
  by_reason(&Of::detaches);
  out.family("backedpipe_reconnect_duration_seconds", "How long sessions were without a link.",
             MetricType::Histogram)
      .add(reconnect_seconds_.Collect());
  out.counter("backedpipe_application_read_bytes_total", "Bytes read from applications.");
  by_role([](const Sum& sum) { return sum.totals.bytes_out; });
  out.counter("backedpipe_application_written_bytes_total", "Bytes delivered to applications.");
  by_role([](const Sum& sum) { return sum.totals.bytes_in; });
  out.counter("backedpipe_replayed_bytes_total", "Bytes that were sent again over a new link.");
  by_role([](const Sum& sum) { return sum.totals.replayed_bytes; });
  out.gauge("backedpipe_unacknowledged_bytes",
            "Bytes read from applications that the other side may lack.");
  by_role([](const Sum& sum) { return sum.unacknowledged_bytes; });
  out.gauge("backedpipe_buffered_bytes", "Bytes held for sessions, in both directions.");
  by_role([](const Sum& sum) { return sum.buffered_bytes; });

  const MemoryBudget& memory = shared_.memory;
  constexpr std::uint64_t kSegmentBytes = SegmentPool::kDefaultSegmentBytes;
  out.gauge("backedpipe_buffer_memory_bytes", "Memory in use for buffers.")
      .add({}, memory.in_use() * kSegmentBytes);
  out.gauge("backedpipe_buffer_memory_limit_bytes", "Memory that buffers may use.")
      .add({}, memory.segment_count() * kSegmentBytes);

  out.counter("backedpipe_handshake_failures_total",
              "Links that were refused or did not get through the handshake.");
  for (const auto& [reason, count] : report.handshake_failures)
    out.add({{"reason", reason}}, count);
  out.gauge("backedpipe_pending_handshakes", "Handshakes under way.")
      .add({}, report.pending_handshakes);

  if (!report.down.empty()) {
    out.gauge("backedpipe_peer_up",
              "1: the peer answered when last dialled, or was not dialled yet. 0: it did not.");
    for (const auto& [name, down] : report.down)
      out.add({{"peer", name}}, down ? 0.0 : 1.0);
    out.counter("backedpipe_dials_total", "Attempts to reach a peer.");
    for (const auto& [name, count] : report.dials)
      out.add({{"peer", name}}, count);
    out.gauge("backedpipe_spare_links", "Links without a session, kept for the next ones.");
    for (const auto& [name, count] : report.spare_links)
      out.add({{"peer", name}}, count);
    out.counter("backedpipe_links_reused_total", "Sessions begun on a spare link.");
    for (const auto& [name, count] : report.links_reused)
      out.add({{"peer", name}}, count);
  }
  return out.text();
}

}  // namespace backedpipe
