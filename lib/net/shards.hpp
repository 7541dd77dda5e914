// Shards: the workers of a daemon, each with its thread, its own sessions and its side of every
// tunnel and listener. Made, started and stopped by the thread that directs the daemon, which can
// have something done on all of them and waits for it: they never wait for that thread, nor for
// each other.
#pragma once

#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "net/client.hpp"
#include "net/server.hpp"
#include "net/worker.hpp"

namespace backedpipe {

struct Shard {
  Shard(Commons& commons, std::size_t number, std::size_t arena_bytes,
        const SessionOptions& options)
      : worker(io, commons, number, arena_bytes, options), client(worker), server(worker) {}

  // A thread of its own runs it.
  boost::asio::io_context io{1};
  Worker worker;
  Client client;
  Server server;
};

class Shards {
 public:
  // At least one. `memory_bytes` is what all of them together may use.
  Shards(Commons& commons, std::size_t count, std::size_t memory_bytes,
         const SessionOptions& options);
  ~Shards();

  void start();
  // Waits for the threads to end. What is under way is dropped.
  void stop();

  std::size_t size() const { return shards_.size(); }
  // Safe while the threads do not run, or for what may be called from elsewhere.
  const std::vector<std::unique_ptr<Shard>>& all() const { return shards_; }

  // Calls `all_are` when each thread has got round to answering that it is alive, on that of the
  // last one. Does not wait: that one does not answer is what it is there for.
  void ask(const std::function<void()>& all_are);

  // Calls `what(shard)` on each thread, at the same time, and returns when all have; the results in
  // order. An exception comes out here.
  template <typename What>
  auto gather(const What& what) {
    using Result = std::invoke_result_t<const What&, Shard&>;
    std::vector<std::future<Result>> pending;
    pending.reserve(shards_.size());
    for (const auto& shard : shards_) {
      auto task = std::packaged_task<Result()>([&what, &shard] { return what(*shard); });
      pending.push_back(task.get_future());
      if (running()) {
        boost::asio::post(shard->io, std::move(task));
      } else {
        task();
      }
    }
    // All of them first: they use what is on this stack.
    for (const auto& one : pending)
      one.wait();
    if constexpr (std::is_void_v<Result>) {
      for (auto& one : pending)
        one.get();
    } else {
      std::vector<Result> results;
      results.reserve(pending.size());
      for (auto& one : pending)
        results.push_back(one.get());
      return results;
    }
  }

 private:
  bool running() const { return !threads_.empty(); }

  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::vector<std::thread> threads_;
};

}  // namespace backedpipe
