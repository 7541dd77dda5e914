// SimLink: one side of a simulated TCP connection, as a SessionPump sees it. Reads and writes are
// cut into pieces of any size. With `records` it reads from the connection ahead of demand, as TLS
// does, and no poll reports the bytes that it holds.
//
// Wire: the connection itself and what is known of its handshake. The ends of both sides share it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <boost/system/errc.hpp>

#include "application.hpp"
#include "checks.hpp"
#include "link.hpp"
#include "random.hpp"
#include "readiness.hpp"
#include "session/handshake.hpp"
#include "session/pump/session_pump.hpp"

namespace backedpipe::sim {

struct Wire {
  Wire(const LinkOptions& options, Random& random, unsigned wire_number)
      : link(options, random), number(wire_number) {}
  Link link;
  unsigned number;
  std::array<WireTap, 2> taps;  // of what each side puts on it
  Application* server_application = nullptr;
  bool reusable_for_server = false;
  bool killed = false;                       // a daemon at one of its ends
  std::optional<std::size_t> swallows_over;  // see Plan
};

class SimLink final : public LinkEnd {
 public:
  // The owner of the link; both references outlive it.
  struct Owner {
    const Session& session;
    const Application& application;
    KillPoints& points;
  };

  SimLink(std::shared_ptr<Wire> wire, Side side, const Owner& owner, Random& random,
          const TimePoint& clock);

  // Accepting side: the answer to this HELLO comes before any frame.
  void expect_welcome(const Hello& hello) { preface_.emplace(hello); }
  // What drained() returns before the first read.
  void set_drained(bool drained);

  Wire& wire() { return *wire_; }
  const std::shared_ptr<Wire>& wire_pointer() const { return wire_; }

  // --- what a poll shows

  bool readable();
  bool writable();
  Readiness& readiness() { return readiness_; }
  // Bytes are readable, not only an end.
  bool has_bytes();
  // Holds no bytes that the connection does not show.
  bool at_rest() const { return record_.empty(); }
  bool has_been_read() const { return read_; }
  bool failed() const { return failed_; }

  // --- as a SessionPump uses it

  IoResult read(std::span<const MutableBytes> pieces) override;
  IoResult write(std::span<const ConstBytes> pieces) override;
  bool drained() const override { return drained_; }
  std::optional<TcpAnswer> tcp_answer(TimePoint now) override;

 private:
  IoResult read_now(std::span<const MutableBytes> pieces);
  IoResult write_now(std::span<const ConstBytes> pieces);
  IoResult fail(boost::system::errc::errc_t error);
  bool over() { return record_.empty() && !has_bytes() && wire_->link.over(side_, now_); }
  void check_offered(std::span<const ConstBytes> pieces);
  void tap(ConstBytes bytes);

  std::shared_ptr<Wire> wire_;
  Side side_;
  Owner owner_;
  Random& random_;
  const TimePoint& now_;
  bool records_;
  std::vector<std::byte> record_;   // taken from the connection, and not yet read
  std::vector<std::byte> offered_;  // offered, and could not be written
  std::optional<ClientHandshake> preface_;
  Readiness readiness_;
  bool drained_ = false;
  bool read_ = false;
  bool failed_ = false;
};

}  // namespace backedpipe::sim
