// Metrics in Prometheus' text format as they are gathered: a family, then its values.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include "api/camera_list.h"
#include "net/http_server.h"

namespace miharu::api {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  void add(const std::string& name, const std::string& help, MetricType type) {
    families_.push_back({name, help, type, {}});
  }
  void value(double value, std::vector<ClientMetric::Label> labels) {
    ClientMetric metric;
    metric.label = std::move(labels);
    if (families_.back().type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    families_.back().metric.push_back(std::move(metric));
  }
  template <class Histogram>
  void histogram(const Histogram& values, std::vector<ClientMetric::Label> labels) {
    ClientMetric metric;
    metric.label = std::move(labels);
    uint64_t count = 0;
    for (size_t i = 0; i < values.counts.size(); ++i) {
      count += values.counts[i];
      const double bound =
          i < Histogram::bounds.size() ? Histogram::bounds[i] : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({count, bound});
    }
    metric.histogram.sample_count = count;
    metric.histogram.sample_sum = values.sum;
    families_.back().metric.push_back(std::move(metric));
  }
  // One value a camera.
  void cameras(const std::string& name, const std::string& help, MetricType type,
               const std::vector<CameraStatus>& all, const std::function<double(const CameraStatus&)>& of) {
    add(name, help, type);
    for (const CameraStatus& camera : all) value(of(camera), {{"camera", camera.name}});
  }
  [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void add_http(Families& out, const net::HttpServerStats& http);
void add_process(Families& out);

}  // namespace miharu::api
