-- load.lua: wrk's load, and its figures as one line of JSON.
-- usage: wrk -s load.lua URL -- METHOD [BODY | signup TAG]
-- "signup TAG": a body with a new user each time; TAG differs from run to run.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  wrk.method = args[1]
  if args[2] ~= "signup" then
    wrk.body = args[2]
    return
  end
  local prefix, count = args[3] .. "t" .. number .. "n", 0
  function request()
    count = count + 1
    local name = prefix .. count
    return wrk.format(nil, nil, nil, '{"username":"' .. name .. '","email":"' .. name ..
      '@example.com","password":"not-so-secret"}')
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'figures {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"errors":%d,"refused":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
