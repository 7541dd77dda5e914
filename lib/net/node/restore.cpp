#include "net/node/restore.hpp"

#include <optional>
#include <set>
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

// The connections in the vault, by the name that the system has for each. Those that nobody takes
// are closed. That resets them, unless their session had come to a clean end: what their
// application has yet to read still arrives.
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
    for (const auto& [cookie, descriptor] : by_cookie_)
      end(descriptor);
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
  // Nobody shall take it.
  void refuse(std::uint64_t cookie) {
    if (const auto node = by_cookie_.extract(cookie)) end(node.mapped());
  }
  // Offers each of the others. It is taken if `offer` says so.
  template <typename Offer>
  void offer_rest(const Offer& offer) {
    std::erase_if(by_cookie_, [&offer](const auto& each) { return offer(each.second); });
  }

 private:
  static void end(int descriptor) {
    // Its other reference goes later, or never.
    if (closing_of(descriptor) == Closing::reset) reset_connection(descriptor);
    ::close(descriptor);
  }

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
    if (plan_.way != RestorePlan::Way::not_at_all) {
      connections_.offer_rest([this](int descriptor) {
        return is_unused(descriptor) && next_worker().tunnels.restore_accepted(descriptor);
      });
    }
    return restored_;
  }

 private:
  void restore(const LedgerFileView::Section& section) {
    const LedgerView view{.records = section.records,
                          .links = section.links,
                          .arena = section.arena,
                          .segment_bytes = left_.header().sizes.segment_bytes};
    for (const LedgerRecord& record : section.records) {
      if (record.state != LedgerRecord::State::session || is_only_accepted(record)) continue;
      if (plan_.way == RestorePlan::Way::not_at_all) {
        ++restored_.lost;
        continue;
      }
      if (plan_.now.is_suspect(record.id)) {
        ++restored_.lost;
        connections_.refuse(record.socket);
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
    const Role role = recovered.session.role;
    if (!restored_ids_.emplace(role, recovered.session.id).second) return "its id is there twice";
    Worker& worker = next_worker();
    std::optional<StreamSocket> application;
    if (socket) {
      application = adopt_stream(worker.io, *socket);
      if (!application) return "its connection cannot be used";
      connections_.taken(record.socket);
    }
    return role == Role::client ? worker.tunnels.restore(std::move(recovered), std::move(*labels),
                                                         std::move(application))
                                : worker.acceptor.restore(std::move(recovered), std::move(*labels),
                                                          std::move(application));
  }

  // A client's session that has not been given its connection yet. Nobody knows of it: it begins
  // anew with that connection.
  static bool is_only_accepted(const LedgerRecord& record) {
    constexpr std::uint32_t kBegun = LedgerRecord::kConnected | LedgerRecord::kSaidHello;
    return record.role == static_cast<std::uint32_t>(Role::client) && (record.flags & kBegun) == 0;
  }

  Worker& next_worker() { return *workers_.all()[next_worker_++ % workers_.size()]; }

  const LedgerFileView& left_;
  Workers& workers_;
  SharedState& shared_;
  const RestorePlan& plan_;
  LedgerFile* turns_;
  Connections connections_;
  // One process can have both sides of a session.
  std::set<std::pair<Role, SessionId>> restored_ids_;
  std::size_t next_worker_ = 0;
  Restored restored_;
};

}  // namespace

Restored restore_sessions(Continuity& continuity, Workers& workers, SharedState& shared,
                          const RestorePlan& plan) {
  return Restoring(continuity, workers, shared, plan).run();
}

}  // namespace backedpipe
