// What the commands of backedpipctl do, against daemons that answer, misbehave, or are not there.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <poll.h>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "config/key_file.hpp"
#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/control_client.hpp"

namespace backedpipe::ctl {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

// A connection that a fake daemon has accepted. Closed with the object.
class Connection {
 public:
  explicit Connection(int handle) : handle_(handle) {}
  ~Connection() { ::close(handle_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Up to a newline, or the end.
  std::string read_line() const {
    std::string line;
    char c = 0;
    while (::recv(handle_, &c, 1, 0) == 1 && c != '\n')
      line += c;
    return line;
  }
  // Until the other end is gone.
  void wait_for_end() const {
    char c = 0;
    while (::recv(handle_, &c, 1, 0) == 1) {
    }
  }
  // The same, without reading what came before.
  void wait_for_hangup() const {
    pollfd hangup{handle_, 0, 0};
    ::poll(&hangup, 1, -1);
  }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(handle_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

 private:
  int handle_;
};

// Listens at `path` and does with one connection what the test wants, on a thread of its own.
class FakeDaemon {
 public:
  FakeDaemon(const std::string& path, std::function<void(const Connection&)> serve)
      : handle_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(handle_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(handle_, 1), 0);
    thread_ = std::thread([this, serve = std::move(serve)] {
      const int accepted = ::accept(handle_, nullptr, nullptr);
      if (accepted >= 0) serve(Connection(accepted));
    });
  }
  // Works without a connection, too: the accept then fails.
  ~FakeDaemon() {
    ::shutdown(handle_, SHUT_RDWR);
    thread_.join();
    ::close(handle_);
  }

 private:
  int handle_;
  std::thread thread_;
};

class Ctl : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "ctl_test.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    socket_ = folder_ + "/s";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Carries out a command line; what it prints is in out_ and err_.
  ExitCode run_words(std::vector<std::string> words) {
    words.insert(words.begin(), {"--socket", socket_});
    const auto options = parse_options(words);
    if (!options) {
      ADD_FAILURE() << options.error();
      return ExitCode::usage;
    }
    std::ostringstream out;
    std::ostringstream err;
    std::streambuf* const cout_before = std::cout.rdbuf(out.rdbuf());
    std::streambuf* const cerr_before = std::cerr.rdbuf(err.rdbuf());
    const ExitCode code = run(*options);
    std::cout.rdbuf(cout_before);
    std::cerr.rdbuf(cerr_before);
    std::cout.clear();
    out_ = out.str();
    err_ = err.str();
    return code;
  }

  // The same, with a daemon that gives this reply to whatever it is asked.
  ExitCode run_against(const std::string& reply, std::vector<std::string> words) {
    const FakeDaemon daemon(socket_, [&](const Connection& connection) {
      request_ = connection.read_line();
      connection.send(reply + "\n");
    });
    const ExitCode code = run_words(std::move(words));
    std::filesystem::remove(socket_);
    return code;
  }

  Checked<std::string, Unreachable> ask_daemon(
      const std::function<void(const Connection&)>& serve,
      std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
    const FakeDaemon daemon(socket_, serve);
    auto answer = ask(socket_, "request", timeout);
    std::filesystem::remove(socket_);
    return answer;
  }

  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }

  std::string folder_;
  std::string socket_;
  std::string request_;  // that the daemon got
  std::string out_;
  std::string err_;
};

std::string problem_of(const Checked<std::string, Unreachable>& answer) {
  return answer ? "an answer: " + *answer : answer.error().problem;
}

const std::string kId = "0123456789abcdef0123456789abcdef";

std::string result(const std::string& json) {
  return R"({"jsonrpc":"2.0","id":1,"result":)" + json + "}";
}
std::string error(const std::string& json) {
  return R"({"jsonrpc":"2.0","id":1,"error":)" + json + "}";
}

// -- the connection -----------------------------------------------------------------------------

TEST_F(Ctl, SendsOneLineAndTakesOneLine) {
  std::string got;
  const auto answer = ask_daemon([&](const Connection& connection) {
    got = connection.read_line();
    connection.send("answer\nmore");
  });
  EXPECT_EQ(problem_of(answer), "an answer: answer");
  EXPECT_EQ(got, "request");
}

TEST_F(Ctl, TakesAnAnswerThatComesInPieces) {
  const auto answer = ask_daemon([](const Connection& connection) {
    connection.read_line();
    for (const char* piece : {"in ", "three ", "pieces", "\r", "\n"}) {
      connection.send(piece);
      std::this_thread::sleep_for(2ms);
    }
  });
  EXPECT_EQ(problem_of(answer), "an answer: in three pieces");
}

TEST_F(Ctl, TakesAnAnswerLargerThanAnyBuffer) {
  const std::string large(8'000'000, 'x');
  const auto answer = ask_daemon([&](const Connection& connection) {
    connection.read_line();
    connection.send(large);
    connection.send("\n");
  });
  ASSERT_TRUE(answer) << answer.error().problem;
  EXPECT_EQ(*answer, large);
}

TEST_F(Ctl, DoesNotWaitForeverForADaemonThatIsSilent) {
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(problem_of(ask_daemon([](const Connection& c) { c.wait_for_end(); }, 50ms)),
            "no answer within 50 ms");
  EXPECT_LT(std::chrono::steady_clock::now() - before, 4s);
}

TEST_F(Ctl, DoesNotWaitForeverForAnAnswerThatDribbles) {
  const auto answer = ask_daemon(
      [](const Connection& connection) {
        for (int i = 0; i < 20; ++i) {
          connection.send("x");
          std::this_thread::sleep_for(10ms);
        }
      },
      50ms);
  EXPECT_EQ(problem_of(answer), "no answer within 50 ms");
}

TEST_F(Ctl, DoesNotWaitForeverForADaemonThatDoesNotRead) {
  const FakeDaemon daemon(socket_, [](const Connection& c) { c.wait_for_hangup(); });
  EXPECT_EQ(problem_of(ask(socket_, std::string(8'000'000, 'x'), 50ms)), "no answer within 50 ms");
}

TEST_F(Ctl, SaysThatTheConnectionWasClosed) {
  const std::string closed = "the connection was closed without an answer";
  EXPECT_EQ(problem_of(ask_daemon([](const Connection&) {})), closed);
  EXPECT_EQ(problem_of(ask_daemon([](const Connection& c) { c.read_line(); })), closed);
  EXPECT_EQ(problem_of(ask_daemon([](const Connection& c) {
              c.read_line();
              c.send("no newline");
            })),
            closed);
}

TEST_F(Ctl, SaysWhyThereIsNoConnection) {
  const auto missing = ask(socket_, "request", 1s);
  EXPECT_EQ(problem_of(missing), "No such file or directory");
  EXPECT_NE(missing.error().advice.find("Is backedpipd running"), std::string::npos);

  {
    const FakeDaemon stopped(socket_, [](const Connection&) {});
  }
  EXPECT_EQ(problem_of(ask(socket_, "request", 1s)), "Connection refused");
  write("file", "not a socket");
  EXPECT_EQ(problem_of(ask(folder_ + "/file", "request", 1s)), "Connection refused");
  EXPECT_EQ(problem_of(ask(folder_ + "/file/s", "request", 1s)), "Not a directory");
}

TEST_F(Ctl, SaysThatThePathIsTooLong) {
  const auto answer = ask("/" + std::string(107, 's'), "request", 1s);
  EXPECT_EQ(problem_of(answer), "the path is too long");
  EXPECT_NE(answer.error().advice.find("at most 107 bytes"), std::string::npos);
  EXPECT_EQ(problem_of(ask("/" + std::string(106, 's'), "request", 1s)),
            "No such file or directory");
}

// -- commands that ask the daemon ---------------------------------------------------------------

TEST_F(Ctl, AsksForWhatTheCommandSays) {
  const auto asked = [&](std::vector<std::string> words) {
    run_against(result("{}"), std::move(words));
    const Json request = Json::parse(request_);
    EXPECT_EQ(request.at("jsonrpc"), "2.0");
    EXPECT_EQ(request.at("id"), 1);
    return request.at("method").get<std::string>() + request.at("params").dump();
  };
  EXPECT_EQ(asked({"status"}), "status{}");
  EXPECT_EQ(asked({"sessions"}), "sessions{}");
  EXPECT_EQ(asked({"session", "abcd"}), R"(session{"id":"abcd"})");
  EXPECT_EQ(asked({"close", "abcd"}), R"(close{"id":"abcd"})");
  EXPECT_EQ(asked({"reconnect", "abcd"}), R"(reconnect{"id":"abcd"})");
  EXPECT_EQ(asked({"reconnect"}), R"(reconnect{"all":true})");
  EXPECT_EQ(asked({"reconnect", "--all"}), R"(reconnect{"all":true})");
}

TEST_F(Ctl, PrintsWhatWasDone) {
  EXPECT_EQ(run_against(result(R"({"id":")" + kId + R"(","closed":true})"), {"close", "0123"}),
            ExitCode::done);
  EXPECT_EQ(out_, "closed " + kId + "\n");
  run_against(result(R"({"id":")" + kId + R"(","reconnecting":1})"), {"reconnect", "0123"});
  EXPECT_EQ(out_, "reconnecting " + kId + "\n");
  run_against(result(R"({"reconnecting":3})"), {"reconnect"});
  EXPECT_EQ(out_, "reconnecting 3 sessions\n");
  run_against(result("[]"), {"sessions"});
  EXPECT_EQ(out_, "no sessions\n");
  run_against(result(R"({"version":"9"})"), {"status"});
  EXPECT_EQ(out_.substr(0, 25), "daemon       backedpipd 9");
  run_against(result(R"({"id":")" + kId + R"("})"), {"session", "0123"});
  EXPECT_EQ(out_.substr(0, 13 + kId.size()), "id           " + kId);
}

TEST_F(Ctl, PrintsTheResultItselfAsJson) {
  const std::string json = R"({"z":1,"a":[null,"é"]})";
  for (const auto& words : {std::vector<std::string>{"status", "--json"},
                            {"session", "abcd", "--json"},
                            {"close", "abcd", "--json"},
                            {"reconnect", "--json"}}) {
    EXPECT_EQ(run_against(result(json), words), ExitCode::done);
    EXPECT_EQ(out_, "{\n  \"z\": 1,\n  \"a\": [\n    null,\n    \"\\u00e9\"\n  ]\n}\n");
  }
}

TEST_F(Ctl, FailsWithTheSentenceOfTheDaemon) {
  EXPECT_EQ(
      run_against(error(R"({"code":-32004,"message":"no session \u001babcd"})"), {"close", "abcd"}),
      ExitCode::failed);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, "backedpipctl: no session \\x1babcd\n");
  run_against(error("{}"), {"close", "abcd", "--json"});
  EXPECT_EQ(err_, "backedpipctl: the daemon refused without a reason\n");
}

TEST_F(Ctl, ListsTheCandidatesOfAnAmbiguousId) {
  run_against(
      error(R"({"code":-32005,"message":"which?","data":{"candidates":["abcd1","abcd2\n",7]}})"),
      {"close", "abcd"});
  EXPECT_EQ(err_, "backedpipctl: which?\n  abcd1\n  abcd2\\x0a\n");
}

TEST_F(Ctl, SaysThatWhatAnswersIsNotTheDaemon) {
  for (const char* reply :
       {"", "hello", "[]", "{}", "1", R"({"error": "text"})", "\xff", "{\"result\""}) {
    EXPECT_EQ(run_against(reply, {"status"}), ExitCode::unreachable) << reply;
    EXPECT_NE(err_.find(socket_ + " is not backedpipd"), std::string::npos) << err_;
  }
}

TEST_F(Ctl, SaysThatTheDaemonCannotBeReached) {
  EXPECT_EQ(run_words({"status"}), ExitCode::unreachable);
  EXPECT_EQ(out_, "");
  EXPECT_NE(err_.find("cannot reach backedpipd at " + socket_ + ": No such file"),
            std::string::npos)
      << err_;
}

// -- commands that need no daemon ---------------------------------------------------------------

TEST_F(Ctl, KeygenPrintsADifferentKeyEachTime) {
  EXPECT_EQ(run_words({"keygen", "laptop"}), ExitCode::done);
  const std::string first = out_;
  const auto keys = parse_key_file(first, "k");
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->entries.front().identity, "laptop");
  run_words({"keygen", "laptop", "--json"});
  EXPECT_TRUE(parse_key_file(out_, "k"));
  EXPECT_NE(out_, first);
}

TEST_F(Ctl, KeygenWarnsWhenOthersCanReadItsFile) {
  const int stdout_before = ::dup(STDOUT_FILENO);
  for (const mode_t mode : {0600U, 0644U, 0660U}) {
    write("key", "", mode);
    const int file = ::open((folder_ + "/key").c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(::dup2(file, STDOUT_FILENO), 0);
    EXPECT_EQ(run_words({"keygen", "laptop"}), ExitCode::done);
    ::dup2(stdout_before, STDOUT_FILENO);
    ::close(file);
    if (mode == 0600U) {
      EXPECT_EQ(err_, "");
    } else {
      EXPECT_NE(err_.find("change its mode to 0600"), std::string::npos);
    }
  }
  ::close(stdout_before);
}

constexpr const char* kConfig = R"({
  "accept": [ { "listen": "127.0.0.1:7700", "key_file": "clients.keys",
                "allow": { "laptop": ["ssh"], "nas": ["ssh"] } } ],
  "services": { "ssh": { "target": "127.0.0.1:22" } } })";

TEST_F(Ctl, CheckAcceptsAConfigurationWithItsKeys) {
  const std::string hex(64, 'a');
  write("c.json", kConfig);
  write("clients.keys", "laptop:" + hex + "\nnas:" + hex);
  const std::string path = folder_ + "/c.json";
  EXPECT_EQ(run_words({"check", path}), ExitCode::done);
  EXPECT_EQ(out_, path + ": ok\n");
  EXPECT_EQ(run_words({"check", path, "--json"}), ExitCode::done);
  EXPECT_EQ(
      Json::parse(out_),
      Json({{"file", path}, {"ok", true}, {"errors", Json::array()}, {"warnings", Json::array()}}));
}

TEST_F(Ctl, CheckListsWhatIsWrongWithTheKeys) {
  write("c.json", kConfig);
  const std::string path = folder_ + "/c.json";
  EXPECT_EQ(run_words({"check", path}), ExitCode::failed);
  EXPECT_EQ(out_, "");
  EXPECT_EQ(err_, folder_ + "/clients.keys: cannot open the key file: No such file or directory\n");

  write("clients.keys", "laptop:" + std::string(64, 'a'));
  EXPECT_EQ(run_words({"check", path, "--json"}), ExitCode::failed);
  const Json report = Json::parse(out_);
  EXPECT_EQ(report.at("ok"), false);
  EXPECT_EQ(report.at("errors").size(), 1U);
  EXPECT_EQ(report.at("errors").at(0).at("file"), path);
  EXPECT_EQ(report.at("errors").at(0).at("pointer"), "/accept/0/allow/nas");
}

TEST_F(Ctl, CheckListsEveryErrorWithItsPlace) {
  write("c.json", "{\n  \"workers\": \"many\",\n  \"acept\": []\n}\n");
  const std::string path = folder_ + "/c.json";
  EXPECT_EQ(run_words({"check", path}), ExitCode::failed);
  EXPECT_NE(err_.find(path + ":2"), std::string::npos) << err_;
  EXPECT_NE(err_.find(path + ":3"), std::string::npos) << err_;
  EXPECT_EQ(run_words({"check", folder_ + "/missing.json"}), ExitCode::failed);
  EXPECT_NE(err_.find("missing.json: cannot open"), std::string::npos) << err_;
}

TEST_F(Ctl, FailsWhenItsOutputIsLost) {
  Options options;
  options.command = Command::keygen;
  options.argument = "laptop";
  std::ostringstream err;
  std::streambuf* const cerr_before = std::cerr.rdbuf(err.rdbuf());
  std::streambuf* const cout_before = std::cout.rdbuf(nullptr);  // fails every write
  const ExitCode code = run(options);
  std::cout.rdbuf(cout_before);
  std::cerr.rdbuf(cerr_before);
  EXPECT_EQ(code, ExitCode::failed);
  EXPECT_NE(err.str().find("cannot write to standard output"), std::string::npos);
}

}  // namespace
}  // namespace backedpipe::ctl
