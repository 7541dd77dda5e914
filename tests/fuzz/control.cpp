// The control socket's requests: whatever comes in, in whatever pieces, each line gets at most one
// line of JSON. The target knows one session. Input: 4 bytes of piece sizes, the stream.
#include <string>

#include <nlohmann/json.hpp>

#include "control/line_buffer.hpp"
#include "control/request.hpp"
#include "tests/fuzz/input.hpp"

namespace backedpipe::fuzz {
namespace {

class OneSession : public ControlTarget {
 public:
  OneSession() {
    session_.id = *parse_session_id("9f3c1d7ae2b84056b1c7e4d20a6f8853");
    session_.tunnel = "ssh";
    session_.service = "ssh";
    session_.peer = "office";
    session_.last_error = "connection reset by peer \"\n\xff";  // what others say may be anything
  }

  StatusSnapshot status() override {
    StatusSnapshot status;
    status.disconnected = 1;
    return status;
  }
  std::vector<SessionSnapshot> sessions() override { return {session_}; }
  std::optional<SessionSnapshot> session(const SessionId& id) override {
    if (id != session_.id) return std::nullopt;
    return session_;
  }
  ReconnectOutcome reconnect(const SessionId& id) override {
    return id == session_.id ? ReconnectOutcome::done : ReconnectOutcome::not_found;
  }
  std::size_t reconnect_all() override { return 1; }
  bool close(const SessionId& id) override { return id == session_.id; }
  ReloadOutcome reload() override { return {"cannot open the key file"}; }
  DrainOutcome drain(std::optional<Duration> timeout) override {
    return {1, timeout.value_or(std::chrono::hours(1))};
  }
  UpgradeOutcome upgrade() override { return {17}; }
  void subscribe() override {}
  std::string log_level() override { return "info"; }
  bool set_log_level(const std::string& level) override { return level == "debug"; }

 private:
  SessionSnapshot session_;
};

void check_reply(std::string_view reply) {
  if (reply.empty()) return;
  require(reply.find('\n') == reply.size() - 1, "a reply is one line");
  require(nlohmann::json::accept(reply), "a reply is JSON in UTF-8");
}

void run(FuzzInput input) {
  OneSession target;
  LineBuffer lines(kMaxRequestBytes);
  Splitter splitter(input);
  std::string_view stream = text_of(input.rest());
  check_reply(handle_request(stream, target));
  while (!stream.empty()) {
    const std::size_t count = splitter.next(stream.size());
    lines.append(stream.substr(0, count));
    stream.remove_prefix(count);
    while (const auto line = lines.next()) {
      require(line->find('\n') == std::string::npos, "a line has no end of line in it");
      check_reply(handle_request(*line, target));
    }
  }
}

}  // namespace
}  // namespace backedpipe::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  backedpipe::fuzz::run({data, size});
  return 0;
}
