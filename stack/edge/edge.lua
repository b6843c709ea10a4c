-- SPDX-License-Identifier: Apache-2.0
-- What nginx asks before it passes a request on: is this a path and method of ours, has the client asked too often, is the token
-- good, has the account asked too often. In this order: the cheap before the dear, and nothing is counted against an account that has not
-- been proven. Which path may what stands in deploy/gateway/policy.json. Must never look at a body, log a token, or wait
-- but for a key not seen before.

local cjson = require "cjson.safe"
local keys = require "keys"
local limits = require "limits"
local token = require "token"

local M = {}
local routes

-- Codes and titles as in chassis/include/ch/errors.def.
local PROBLEMS = {
  [401] = { code = "unauthenticated", title = "로그인이 필요합니다", detail = "로그인이 필요합니다" },
  [404] = { code = "not_found", title = "찾을 수 없습니다", detail = "이 주소에는 아무것도 없습니다." },
  [405] = { code = "method_not_allowed", title = "지원하지 않는 요청 방식입니다", detail = "이 주소에서는 쓸 수 없는 메서드입니다." },
  [429] = { code = "too_many_requests", title = "요청이 너무 많습니다", detail = "잠시 후 다시 시도해 주세요." },
  [503] = { code = "service_unavailable", title = "잠시 후 다시 시도해 주세요", detail = "지금은 로그인을 확인할 수 없습니다." },
}

-- Answers by itself, in the form that the services have.
local function refuse(status, headers, faults)
  local row = PROBLEMS[status]
  local body = string.format(
    '{"type":"https://gwasuwon.example/problems/%s","title":"%s","status":%d,"detail":"%s","code":"%s","traceId":"%s","errors":%s}',
    row.code, row.title, status, row.detail, row.code, ngx.var.trace_id, faults or "[]")
  ngx.status = status
  ngx.header["Content-Type"] = "application/problem+json"
  ngx.header["Content-Length"] = #body
  ngx.header["Cache-Control"] = "no-store"
  for name, value in pairs(headers or {}) do ngx.header[name] = value end
  ngx.print(ngx.req.get_method() == "HEAD" and "" or body)
  return ngx.exit(status)
end

local function too_many(retry_after_s)
  return refuse(429, { ["Retry-After"] = retry_after_s })
end

local function unauthenticated(fault, detail)
  if not fault then return refuse(401, { ["WWW-Authenticate"] = "Bearer" }) end
  if fault == "no_keys" then return refuse(503, { ["Retry-After"] = 1 }) end
  return refuse(401, { ["WWW-Authenticate"] = 'Bearer error="invalid_token"' },
    string.format('[{"pointer":"Authorization","code":"%s","detail":"%s"}]', fault, detail))
end

local function names(methods)
  local list = {}
  for method in pairs(methods) do list[#list + 1] = method end
  table.sort(list)
  return table.concat(list, ", ")
end

-- A location calls it with its path as the description writes it.
function M.enter(path)
  local var, methods = ngx.var, routes[path]
  local policy = methods[ngx.req.get_method()]

  -- nginx chose the location by the path it mended; the service reads the one that was sent. They must be one.
  if var.path ~= var.uri then return refuse(404) end
  if not policy then return refuse(405, { Allow = names(methods) }) end
  local wait_s = limits.take_client(policy.class, var.binary_remote_addr)
  if wait_s then return too_many(wait_s) end
  if policy.who ~= "token" then return end

  local account, fault, detail = token.account(var.http_authorization)
  if not account then return unauthenticated(fault, detail) end
  wait_s = limits.take_account(policy.class, account)
  if wait_s then return too_many(wait_s) end
end

-- settings: policy (file), limits (text, see limits.lua), issuer, audience, jwks (file or http URL). Once, before the workers start.
function M.configure(settings)
  local file = assert(io.open(settings.policy))
  local policy = assert(cjson.decode(file:read("*a")))
  file:close()
  routes = policy.routes
  limits.configure(policy.limits, settings.limits)
  token.configure(settings.issuer, settings.audience)
  keys.configure(settings.jwks)
end

function M.start_worker()
  keys.start()
end

return M
