#include "load/report.h"

static uint64_t error_count(const struct load_totals *totals)
{
    return totals->not_connected + totals->lost + totals->timed_out + totals->not_smtp;
}

bool load_report_is_complete(const struct load_report *report, const struct load_plan *plan)
{
    const struct load_totals *totals = report->totals;
    bool is_all =
        plan->is_idle ? totals->held == plan->sessions : totals->accepted == totals->begun;
    return is_all && error_count(totals) == 0;
}

static double per_second(const struct load_report *report)
{
    return report->seconds > 0 ? (double)report->totals->accepted / report->seconds : 0;
}

static double cpu_us(const struct load_report *report)
{
    double messages = (double)report->totals->accepted;
    return messages > 0 ? (report->user_s + report->system_s) / messages * 1e6 : 0;
}

static double quantile_us(const struct load_histogram *histogram, double share)
{
    return (double)load_histogram_quantile(histogram, share) / 1000;
}

static void print_quantiles(const char *name, const struct load_histogram *histogram)
{
    printf("%-12sp50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f us\n", name,
           quantile_us(histogram, 0.5), quantile_us(histogram, 0.9), quantile_us(histogram, 0.99),
           quantile_us(histogram, 0.999), (double)histogram->max / 1000);
}

static void print_text(const struct load_report *report)
{
    const struct load_totals *totals = report->totals;
    printf("accepted    %lu of %lu messages in %.3f s: %.0f/s, %lu recipients, %lu bytes\n",
           totals->accepted, totals->begun, report->seconds, per_second(report),
           totals->recipients_accepted, totals->bytes);
    printf("refused     messages %lu 4yz %lu 5yz, recipients %lu 4yz %lu 5yz, connections %lu 4yz "
           "%lu 5yz\n",
           totals->refused.temporary, totals->refused.permanent,
           totals->recipients_refused.temporary, totals->recipients_refused.permanent,
           totals->connections_refused.temporary, totals->connections_refused.permanent);
    printf("errors      %lu not connected, %lu lost, %lu timed out, %lu not SMTP\n",
           totals->not_connected, totals->lost, totals->timed_out, totals->not_smtp);
    printf("connections %lu opened, %lu held idle to the end\n", totals->connections, totals->held);
    print_quantiles("latency", &totals->latency_ns);
    print_quantiles("last reply", &totals->reply_ns);
    printf("own CPU     %.1f us a message (user %.3f s, system %.3f s)\n", cpu_us(report),
           report->user_s, report->system_s);
}

static void print_json_refusals(const char *name, const struct load_refusals *refusals)
{
    printf("\"%s\": {\"4yz\": %lu, \"5yz\": %lu}, ", name, refusals->temporary,
           refusals->permanent);
}

static void print_json_quantiles(const char *name, const struct load_histogram *histogram)
{
    printf("\"%s\": {\"count\": %lu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, "
           "\"max\": %.1f}, ",
           name, histogram->count, quantile_us(histogram, 0.5), quantile_us(histogram, 0.9),
           quantile_us(histogram, 0.99), quantile_us(histogram, 0.999),
           (double)histogram->max / 1000);
}

static void print_json(const struct load_report *report)
{
    const struct load_totals *totals = report->totals;
    printf("{\"begun\": %lu, \"accepted\": %lu, \"recipients\": %lu, \"bytes\": %lu, ",
           totals->begun, totals->accepted, totals->recipients_accepted, totals->bytes);
    printf("\"seconds\": %.6f, \"per_second\": %.1f, ", report->seconds, per_second(report));
    print_json_refusals("refused", &totals->refused);
    print_json_refusals("recipients_refused", &totals->recipients_refused);
    print_json_refusals("connections_refused", &totals->connections_refused);
    printf("\"errors\": {\"not_connected\": %lu, \"lost\": %lu, \"timed_out\": %lu, \"not_smtp\": "
           "%lu}, ",
           totals->not_connected, totals->lost, totals->timed_out, totals->not_smtp);
    printf("\"connections\": %lu, \"held\": %lu, ", totals->connections, totals->held);
    print_json_quantiles("latency_us", &totals->latency_ns);
    print_json_quantiles("reply_us", &totals->reply_ns);
    printf("\"user_s\": %.6f, \"system_s\": %.6f, \"cpu_us_per_message\": %.2f}\n", report->user_s,
           report->system_s, cpu_us(report));
}

void load_report_print(const struct load_report *report, bool wants_json)
{
    if (wants_json) {
        print_json(report);
    } else {
        print_text(report);
    }
    fflush(stdout);
}
