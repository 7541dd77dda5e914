// The world of fuzz_pipe: two pipes, up to three links between them, and a handshake under way. Each
// step is one decision of the fuzzer. Lives for one input.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "tests/fuzz/pipe_end.hpp"

namespace backedpipe::fuzz {

// One TCP connection: what is on its way to each side.
struct Link {
  std::uint64_t generation;
  std::array<std::vector<std::byte>, 2> to;
};

class World {
 public:
  explicit World(const PipeOptions& options) : ends_{End(options), End(options)} {}

  void step(FuzzInput& input);
  // Leaves the two alone on a good link; everything must arrive.
  void heal();

 private:
  bool all_done() const { return ends_[kClient]->done() && ends_[kServer]->done(); }
  void check() const;
  Link* link_of(std::uint64_t generation);

  // --- applications

  void write(Side side, std::size_t count);
  void deliver(Side side, std::size_t most);

  // --- links

  void send(Side side, std::size_t most);
  void receive(Side side, std::size_t most);
  void connect();
  // Another attempt beside the live link, which goes on until the candidate's path is ready.
  void dial_beside();
  // The path of the candidate, or of an attempt that was one before its link broke, is ready.
  void say_hello();
  void send_hello();
  // The server takes the HELLO.
  void accept();
  // The client takes the WELCOME.
  void welcome();
  void lose_link(Side side);
  // What belongs to another generation changes nothing.
  void call_late(Side side, FuzzInput& input);

  // --- what should not happen

  void mislead(Side side);
  // Bytes on their way are changed, lost, repeated, or made up.
  void forge_bytes(Side side, FuzzInput& input);
  // A number at, or close to, one that matters to this side.
  std::uint64_t telling_number(const End& end, FuzzInput& input);
  // A whole frame that the peer never sent, in front of what is on its way.
  void forge_frame(Side side, FuzzInput& input);
  // A peer that states a position it does not have.
  void forge_position(Side side, FuzzInput& input);
  void end_session(Side side, FuzzInput& input);
  void reset(Side side, Reason reason);

  std::array<End, 2> ends_;
  std::deque<Link> links_;         // the newest last
  std::optional<Position> hello_;  // on its way, on the newest link
  TimePoint hello_at_{};
  std::optional<Position> welcome_;  // likewise
  TimePoint now_{};
  bool forged_ = false;
  bool reset_ = false;
};

}  // namespace backedpipe::fuzz
