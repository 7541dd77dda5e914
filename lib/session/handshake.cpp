#include "session/handshake.hpp"

namespace backedpipe {

ClientHandshake::ClientHandshake(const Hello& hello)
    : session_(hello.session),
      generation_(hello.generation),
      opens_(hello.open),
      bytes_(encode(hello)) {}

Result<void> ClientHandshake::receive(ConstBytes& input) {
  if (const auto fed = decoder_.feed(input); !fed || !complete()) return fed;
  if (refused() != nullptr) return {};
  const Welcome* answer = welcome();
  if (answer == nullptr || answer->session != session_ || answer->generation != generation_ ||
      (answer->created && !opens_)) {
    return Reason::protocol_error;
  }
  return {};
}

Result<void> ServerHandshake::receive(ConstBytes& input) {
  if (const auto fed = decoder_.feed(input); !fed || !complete()) return fed;
  if (!std::holds_alternative<Hello>(decoder_.message())) return Reason::protocol_error;
  return {};
}

}  // namespace backedpipe
