#include "net/shared/unkept_sessions.hpp"

#include <memory>
#include <sstream>
#include <string>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include "net/session/session_table.hpp"
#include "tests/unit/accept_support.hpp"

namespace backedpipe::test {
namespace {

using Why = UnkeptSessions::Why;

// What is logged while this exists.
class LogText {
 public:
  LogText() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
    spdlog::set_pattern("%l: %v");
  }
  ~LogText() { spdlog::set_default_logger(before_); }

  std::string text() const { return text_.str(); }

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(UnkeptSessions, EachReasonIsSaidAtOnceAndWhatHelps) {
  const LogText log;
  boost::asio::io_context io;
  UnkeptSessions unkept(io);
  for (const Why why : {Why::no_connection, Why::no_record, Why::no_names})
    unkept.add(why, id_of(7));
  unkept.add(Why::no_record, id_of(8));
  io.poll();
  for (const char* said : {"warning: a session will end with this process, because the system",
                           "raise LimitNOFILE in its systemd unit",
                           "because limits.max_sessions has been raised since it started",
                           "set more workers: session 07000000000000000000000000000000"})
    EXPECT_TRUE(contains(log.text(), said)) << said << " in\n" << log.text();
  EXPECT_FALSE(contains(log.text(), to_string(id_of(8)))) << "too soon after the first";
}

struct Nobody final : LinkKeeper {
  void released(std::unique_ptr<Transport>, SessionDriver&) override {}
};

// Opens a session on a worker whose ledger has this much room.
bool is_kept(std::uint32_t records, std::uint32_t labels, std::string& said) {
  const LogText log;
  LedgerFile file("test", {.workers = 1,
                           .records = records,
                           .segments = 4,
                           .labels = labels,
                           .tombstones = 1,
                           .segment_bytes = SegmentPool::kDefaultSegmentBytes});
  Vault vault(Vault::make_ends().value());
  WorkerLedger ledger(file.section(0), vault);
  boost::asio::io_context io;
  SharedState shared(io, 4 * SegmentPool::kDefaultSegmentBytes);
  WorkerContext context(io, shared, 0, 4 * SegmentPool::kDefaultSegmentBytes, {}, &ledger);
  Nobody nobody;
  SessionTable table(context, nullptr);
  const auto driver =
      table.open({.supply = nullptr, .keeper = nobody},
                 {.id = id_of(7), .role = Role::server, .service = "ssh"}, SessionLabels{}, "");
  io.poll();
  said = log.text();
  const bool kept = driver->session().ledger().kept();
  table.abandon_all();
  return kept;
}

TEST(UnkeptSessions, AreThoseForWhomTheLedgerHasNoRoom) {
  std::string said;
  EXPECT_TRUE(is_kept(1, 1, said));
  EXPECT_EQ(said, "");
  EXPECT_FALSE(is_kept(0, 1, said));
  EXPECT_TRUE(contains(said, "there is no record left")) << said;
  EXPECT_FALSE(is_kept(1, 0, said));
  EXPECT_TRUE(contains(said, "too many identities")) << said;
}

}  // namespace
}  // namespace backedpipe::test
