#include "net/node/restore.hpp"

#include <optional>
#include <string>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <variant>

#include <spdlog/spdlog.h>

#include "net/keep/connection_counts.hpp"
#include "session/recover.hpp"

namespace backedpipe {
namespace {

// The connections in the vault, by the name that the system has for each. Those that no session
// takes are reset.
class Connections {
 public:
  explicit Connections(Vault& vault) {
    const Vault::Contents contents = vault.contents();
    if (!contents.complete) {
      spdlog::error("not all connections of the sessions could be taken over: no descriptors left");
    }
    for (const Vault::Kept& kept : contents.sockets)
      by_cookie_.emplace(kept.cookie, kept.descriptor);
  }
  ~Connections() {
    for (const auto& [cookie, descriptor] : by_cookie_) {
      reset_connection(descriptor);
      ::close(descriptor);
    }
  }
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // Stays here; nothing if it is not there.
  std::optional<int> find(std::uint64_t cookie) const {
    const auto found = by_cookie_.find(cookie);
    return found == by_cookie_.end() ? std::nullopt : std::optional(found->second);
  }
  // The caller must close it.
  void taken(std::uint64_t cookie) { by_cookie_.erase(cookie); }

 private:
  std::unordered_map<std::uint64_t, int> by_cookie_;
};

class Restoring {
 public:
  Restoring(Continuity& continuity, Workers& workers, SharedState& shared, const RestorePlan& plan)
      : left_(*continuity.left()),
        workers_(workers),
        shared_(shared),
        plan_(plan),
        turns_(plan.way == RestorePlan::Way::one_by_one ? &continuity.file() : nullptr),
        connections_(continuity.vault()) {}

  Restored run() {
    if (plan_.way != RestorePlan::Way::not_at_all) {
      for (const LedgerFileView::Tombstone& tombstone : left_.tombstones())
        shared_.directory.restore_tombstone(tombstone);
    }
    for (std::size_t worker = 0; worker < left_.header().sizes.workers; ++worker)
      restore(left_.section(worker));
    return restored_;
  }

 private:
  void restore(const LedgerFileView::Section& section) {
    const LedgerView view{.records = section.records,
                          .links = section.links,
                          .arena = section.arena,
                          .segment_bytes = left_.header().sizes.segment_bytes};
    for (const LedgerRecord& record : section.records) {
      if (record.state != LedgerRecord::State::session) continue;
      if (plan_.way == RestorePlan::Way::not_at_all) {
        ++restored_.lost;
        continue;
      }
      if (plan_.now.is_suspect(record.id)) {
        ++restored_.lost;
        spdlog::error(
            "session {}: is reset, because the daemon died while it continued this session alone",
            to_string(record.id));
        continue;
      }
      const LedgerFile::Turn turn(turns_, record.id);
      if (const auto why = restore(view, section, record)) {
        ++restored_.lost;
        spdlog::error("session {}: cannot be continued: {}", to_string(record.id), *why);
      } else {
        ++restored_.sessions;
      }
    }
  }

  // The reason why it cannot be continued; nothing if it was restored.
  std::optional<std::string> restore(const LedgerView& view, const LedgerFileView::Section& section,
                                     const LedgerRecord& record) {
    const auto text = LedgerFileView::label(section, record.labels);
    auto labels = text ? decode_labels(*text) : std::nullopt;
    if (!labels) return "its names are damaged";
    const bool connected = (record.flags & LedgerRecord::kConnected) != 0;
    const auto socket = connected ? connections_.find(record.socket) : std::nullopt;
    auto found = recover(view, record, socket ? moved_on(*socket, record) : std::nullopt);
    if (const auto* lost = std::get_if<Unrecoverable>(&found)) return std::string(lost->why);
    Recovered& recovered = std::get<Recovered>(found);
    Worker& worker = *workers_.all()[next_worker_++ % workers_.size()];
    std::optional<StreamSocket> application;
    if (socket) {
      application = adopt_stream(worker.io, *socket);
      if (!application) return "its connection cannot be used";
      connections_.taken(record.socket);
    }
    const bool dials = recovered.session.role == Role::client;
    return dials ? worker.tunnels.restore(std::move(recovered), std::move(*labels),
                                          std::move(application))
                 : worker.acceptor.restore(std::move(recovered), std::move(*labels),
                                           std::move(application));
  }

  const LedgerFileView& left_;
  Workers& workers_;
  SharedState& shared_;
  const RestorePlan& plan_;
  LedgerFile* turns_;
  Connections connections_;
  std::size_t next_worker_ = 0;
  Restored restored_;
};

}  // namespace

Restored restore_sessions(Continuity& continuity, Workers& workers, SharedState& shared,
                          const RestorePlan& plan) {
  return Restoring(continuity, workers, shared, plan).run();
}

}  // namespace backedpipe
