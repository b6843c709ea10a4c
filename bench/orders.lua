-- SPDX-License-Identifier: Apache-2.0
-- wrk: places orders, each with a key of its own, over buyers and SKUs in turn. Counts what is not 201 so that a fast refusal is not taken for speed.
local tokens, skus = {}, {}
local n, salt, refused = 0, nil, 0

local function lines_of(path)
  local all = {}
  for line in io.lines(path) do all[#all + 1] = line end
  return all
end

function init(args)
  tokens, skus = lines_of(args[1]), lines_of(args[2])
  salt = args[3]
end

function request()
  n = n + 1
  local sku, price = skus[n % #skus + 1]:match('(%S+) (%S+)')
  local body = '{"paymentToken":"pay_Ab12Cd34Ef56Gh78Ij90KlYz","recipient":{"name":"가나다","phone":"010-1234-5678","postcode":"06236","address1":"서울 강남구 테헤란로 152","address2":"10층","doorNote":"문 앞"},"lines":[{"skuId":"' .. sku .. '","quantity":1,"unitPriceKrw":' .. price .. '}]}'
  return wrk.format('POST', '/api/v1/orders', {
    ['Content-Type'] = 'application/json',
    ['Authorization'] = 'Bearer ' .. tokens[n % #tokens + 1],
    ['Idempotency-Key'] = salt .. '-' .. n,
  }, body)
end

function response(status)
  if status ~= 201 then
    refused = refused + 1
    if refused <= 3 then io.stderr:write('status ' .. status .. '\n') end
    wrk.thread:set('refused', refused)
  end
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function done(summary, latency)
  local bad = 0
  for _, thread in ipairs(threads) do bad = bad + (thread:get('refused') or 0) end
  io.write(string.format('RESULT %d %d %d %d %d\n', summary.requests, summary.duration, bad, latency:percentile(50), latency:percentile(99)))
end
