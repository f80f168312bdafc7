#include "api/metric_families.h"

#include <malloc.h>
#include <sys/resource.h>

namespace miharu::api {
namespace {

constexpr auto kCounter = MetricType::Counter;
constexpr auto kGauge = MetricType::Gauge;

}  // namespace

void add_http(Families& out, const net::HttpServerStats& http) {
  const auto count = [](uint64_t value) { return static_cast<double>(value); };
  out.add("miharu_http_requests_total", "requests answered", kCounter);
  out.value(count(http.requests), {});
  out.add("miharu_http_bad_requests_total", "requests that were malformed or over a limit", kCounter);
  out.value(count(http.bad_requests), {});
  out.add("miharu_http_timeouts_total", "connections ended by a deadline", kCounter);
  out.value(count(http.timeouts), {});
  out.add("miharu_http_connections_refused_total", "connections over a limit", kCounter);
  out.value(count(http.refused), {});
  out.add("miharu_http_connections", "connections open now", kGauge);
  out.value(count(http.open), {});
  out.add("miharu_http_sent_bytes_total", "bytes sent", kCounter);
  out.value(count(http.bytes_sent), {});
}

void add_process(Families& out) {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds_of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  out.add("process_cpu_seconds_total", "user and system time", kCounter);
  out.value(seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime), {});
  out.add("process_max_resident_memory_bytes", "largest resident size so far", kGauge);
  out.value(static_cast<double>(usage.ru_maxrss) * 1024, {});
  const struct mallinfo2 heap = mallinfo2();
  out.add("process_heap_bytes", "memory that is allocated now, without what the allocator keeps", kGauge);
  out.value(static_cast<double>(heap.uordblks + heap.hblkhd), {});
}

}  // namespace miharu::api
