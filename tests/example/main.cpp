// A message crosses two links, of which the first breaks in the middle of it. A real program would
// have sockets where this one has carry().
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <pipe/backed_pipe.hpp>
#include <session/session.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using backedpipe::BackedPipe;
using backedpipe::ConstBytes;

// What happens takes no time here; the library never looks at a clock of its own.
constexpr backedpipe::TimePoint kNow{};

// Both ends agree on what they have; what is missing will be sent again.
bool link(BackedPipe& client, BackedPipe& server) {
  const auto generation = client.connect();
  if (!generation) return false;
  const backedpipe::Position of_client = client.take_position();
  const backedpipe::Position of_server = server.take_position();
  return server.attach(*generation, of_client, kNow).has_value() &&
         client.attach(*generation, of_server, kNow).has_value();
}

// Takes at most `most` bytes from one end to the other; returns how many there were.
std::size_t carry(BackedPipe& from, BackedPipe& to, std::size_t most) {
  std::array<ConstBytes, 8> pieces;
  const std::size_t count = from.outgoing(kNow, pieces);
  std::vector<std::byte> bytes;
  for (const ConstBytes piece : std::span(pieces).first(count))
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  bytes.resize(std::min(bytes.size(), most));
  from.sent(from.generation(), bytes.size());
  if (!to.receive(to.generation(), bytes, kNow)) return 0;
  return bytes.size();
}

void cut(BackedPipe& pipe) {
  pipe.detach({.component = backedpipe::LinkError::Component::reader,
               .generation = pipe.generation(),
               .error = make_error_code(boost::system::errc::connection_reset)});
}

std::string take(BackedPipe& pipe) {
  std::array<ConstBytes, 8> pieces;
  std::string text;
  while (const std::size_t count = pipe.deliverable(pieces)) {
    std::size_t taken = 0;
    for (const ConstBytes piece : std::span(pieces).first(count)) {
      text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      taken += piece.size();
    }
    pipe.delivered(taken, kNow);
  }
  return text;
}

}  // namespace

int main() {
  std::vector<std::byte> memory(std::size_t{1} << 20);
  backedpipe::SegmentPool pool(memory);
  BackedPipe client(pool, {});
  BackedPipe server(pool, {});

  const std::string_view message = "exactly once, in order, over two links";
  client.write(std::as_bytes(std::span(message.data(), message.size())));

  std::string arrived;
  if (!link(client, server)) return 1;
  carry(client, server, 30);
  arrived += take(server);
  cut(client);
  cut(server);
  if (arrived.size() >= message.size() || !link(client, server)) return 1;
  while (carry(client, server, 1000) > 0) {
  }
  arrived += take(server);

  std::cout << arrived << '\n';
  return arrived == message ? 0 : 1;
}
