// SessionLife: what a session meets in the fuzz targets. Its links come and go, and its peer may say
// anything; its application writes, reads and ends. Counts what passes on the application's
// connection, as the system would.
#pragma once

#include "session/session.hpp"
#include "session/tcp_counts.hpp"
#include "tests/fuzz/input.hpp"

namespace backedpipe::fuzz {

class SessionLife {
 public:
  // `moved`: what has passed until now on the connection of its application; nothing if it has yet
  // to get one. The session must outlive this.
  SessionLife(Session& session, std::optional<TcpMoved> moved) : session_(session), moved_(moved) {}

  // One event, and all that follows from it.
  void step(FuzzInput& input);
  // The application writes or takes something that the session has yet to hear of.
  void pass_unnoticed(FuzzInput& input);

  // Nothing: it has no connection.
  const std::optional<TcpMoved>& moved() const { return moved_; }

 private:
  void link_event(std::uint8_t which, FuzzInput& input);
  void application_event(std::uint8_t which, FuzzInput& input);
  std::size_t read_application(FuzzInput& input);
  std::size_t deliverable(FuzzInput& input) const;

  Session& session_;
  std::optional<TcpMoved> moved_;
  TimePoint now_{};
};

// Takes all that the session asks for, of which there must be an end.
void run_actions(Session& session);

// --- what a peer may say

// Around the number, which is where most can go wrong.
std::uint64_t near(std::uint64_t number, FuzzInput& input);
Position peer_position(const BackedPipe& pipe, FuzzInput& input);
std::vector<std::byte> some_frame(const BackedPipe& pipe, FuzzInput& input);

// How many bytes are offered to the link. Of a BackedPipe or a Session.
template <typename Stream>
std::size_t offered_bytes(Stream& stream, TimePoint now) {
  std::array<ConstBytes, 16> pieces;
  const std::size_t used = stream.outgoing(now, pieces);
  std::size_t size = 0;
  for (std::size_t i = 0; i < used; ++i)
    size += pieces[i].size();
  return size;
}

}  // namespace backedpipe::fuzz
