#include "net/metrics.hpp"

#include <chrono>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <string_view>
#include <utility>
#include <vector>

namespace backedpipe {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// From a link on the same desk to a night's suspend.
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

// What the sessions of one role come to, with those that have ended.
struct Sum {
  std::string role;
  std::uint64_t connected = 0;
  std::uint64_t away = 0;
  std::uint64_t suspect = 0;
  std::uint64_t unacknowledged_bytes = 0;
  std::uint64_t buffered_bytes = 0;
  SessionTotals totals;
};

template <typename Sessions>
Sum sum_of(const char* role, const SessionTotals& totals, const Sessions& sessions) {
  Sum sum;
  sum.role = role;
  sum.totals = totals;
  for (const auto& [id, driver] : sessions) {
    const BackedPipe& pipe = driver->session().pipe();
    const bool connected = pipe.state() == PipeState::connected;
    sum.connected += connected ? 1 : 0;
    sum.away += connected ? 0 : 1;
    sum.suspect += driver->session().suspect() ? 1 : 0;
    sum.unacknowledged_bytes += pipe.writer().ring().size();
    sum.buffered_bytes += pipe.writer().ring().size() + pipe.reader().ring().size();
    sum.totals.bytes_in += driver->bytes_in();
    sum.totals.bytes_out += driver->bytes_out();
    sum.totals.replayed_bytes += pipe.replayed_bytes();
  }
  return sum;
}

}  // namespace

Metrics::Metrics(Worker& worker, const Client& client, const Server& server)
    : worker_(worker), client_(client), server_(server), reconnect_seconds_(kReconnectSeconds) {
  // There from the beginning: a rate needs a value before the first event.
  for (Of& of : of_)
    of.attaches = {{"open", 0}, {"resume", 0}, {"takeover", 0}};
  worker.events().listen([this](const Event& event) { count(event); });
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

std::string Metrics::text() const {
  const std::array sums{sum_of("client", client_.totals(), client_.sessions()),
                        sum_of("server", server_.totals(), server_.sessions())};
  Families out;
  const auto by_role = [&](auto value) {
    for (const Sum& sum : sums)
      out.add({{"role", sum.role}}, value(sum));
  };
  const auto by_reason = [&](Counts Of::*counts) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      for (const auto& [reason, count] : of_[i].*counts)
        out.add({{"role", sums[i].role}, {"reason", reason}}, count);
    }
  };

  out.gauge("backedpipe_build_info", "The version of this daemon; always 1.");
  out.add({{"version", BACKEDPIPE_VERSION}}, 1.0);
  out.gauge("backedpipe_sessions", "Sessions there are.");
  for (const Sum& sum : sums) {
    // To a user, a client's session waits and dials in one.
    const char* const away = sum.role == "client" ? "reconnecting" : "disconnected";
    out.add({{"role", sum.role}, {"state", "connected"}}, sum.connected);
    out.add({{"role", sum.role}, {"state", away}}, sum.away);
  }
  out.gauge("backedpipe_suspect_sessions", "Connected sessions whose link owes an answer.");
  by_role([](const Sum& sum) { return sum.suspect; });
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

  const SegmentPool& pool = worker_.pool();
  out.gauge("backedpipe_buffer_memory_bytes", "Memory in use for buffers.")
      .add({}, std::uint64_t{pool.segments_in_use() * pool.segment_bytes()});
  out.gauge("backedpipe_buffer_memory_limit_bytes", "Memory that buffers may use.")
      .add({}, std::uint64_t{pool.segment_count() * pool.segment_bytes()});

  out.counter("backedpipe_handshake_failures_total",
              "Links that were refused or did not get through the handshake.");
  for (const auto& [reason, count] : server_.handshake_failures())
    out.add({{"reason", std::string(reason)}}, count);
  std::uint64_t pending = 0;
  for (const auto& entry : server_.entries())
    pending += entry->pending;
  out.gauge("backedpipe_pending_handshakes", "Handshakes under way.").add({}, pending);

  if (!client_.peers().empty()) {
    out.gauge("backedpipe_peer_up",
              "1: the peer answered when last dialled, or was not dialled yet. 0: it did not.");
    for (const auto& [name, peer] : client_.peers())
      out.add({{"peer", name}}, peer.gate.state() == PeerGate::State::down ? 0.0 : 1.0);
    out.counter("backedpipe_dials_total", "Attempts to reach a peer.");
    for (const auto& [name, peer] : client_.peers())
      out.add({{"peer", name}}, peer.cache->dials);
  }
  return out.text();
}

}  // namespace backedpipe
