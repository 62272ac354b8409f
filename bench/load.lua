-- Requests of one kind of work, or of the mix, for wrk:
--   wrk -t2 -c64 -d10s --latency -s bench/load.lua http://127.0.0.1:5010 -- KIND [LATEST [USERS]]
-- KIND    msgs, umsgs, post, fllws, fpost, latest, mix, or a path to GET
-- LATEST  1 if every request has a `latest`, as the simulator's requests have (the default), otherwise 0
-- USERS   user1 … user<USERS> write and follow, and the next 400 users are followed (5000 by default)

local HEADERS = {
   ["Authorization"] = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh",
   ["Content-Type"] = "application/json",
}
local MESSAGE = '{"content":"a message of ordinary length, as people write them between two others."}'
-- Number of follows before the first of them is undone.
local FOLLOWS_MAX = 2000
-- Each thread has targets of its own, so that no two threads use the same pair of users.
local TARGETS_PER_THREAD = 200

local threads = 0

function setup(thread)
   thread:set("thread", threads)
   threads = threads + 1
end

local kind, with_latest, users

function init(arguments)
   kind = arguments[1] or "mix"
   with_latest = (arguments[2] or "1") == "1"
   users = tonumber(arguments[3] or 5000)
   math.randomseed(os.time() + thread * 7919)
end

local moves = 0

-- Adds a `latest` to a path, greater by one than the last `latest` of the thread.
local function with_next_latest(path)
   if not with_latest then return path end
   moves = moves + 1
   return path .. (path:find("?", 1, true) and "&" or "?") .. "latest=" .. moves
end

local function random_user()
   return "user" .. math.random(users)
end

local pairs_drawn = 0
local is_undoing = false

-- The n-th pair of a follower and a followee. The pairs repeat after 200 times the number of users.
local function pair(n)
   local target = thread * TARGETS_PER_THREAD + math.floor(n / users) % TARGETS_PER_THREAD
   return "user" .. (n % users + 1), "user" .. (users + 1 + target)
end

-- Follows. With enough follows, every second call undoes the oldest follow.
local function follow_or_unfollow()
   is_undoing = not is_undoing and pairs_drawn > FOLLOWS_MAX
   local verb, who, whom
   if is_undoing then
      verb, who, whom = "unfollow", pair(pairs_drawn - FOLLOWS_MAX)
   else
      pairs_drawn = pairs_drawn + 1
      verb, who, whom = "follow", pair(pairs_drawn)
   end
   return wrk.format("POST", with_next_latest("/fllws/" .. who), HEADERS, '{"' .. verb .. '":"' .. whom .. '"}')
end

local WORK = {
   msgs = function() return wrk.format("GET", with_next_latest("/msgs?no=100"), HEADERS) end,
   umsgs = function() return wrk.format("GET", with_next_latest("/msgs/" .. random_user() .. "?no=100"), HEADERS) end,
   post = function() return wrk.format("POST", with_next_latest("/msgs/" .. random_user()), HEADERS, MESSAGE) end,
   fllws = function() return wrk.format("GET", with_next_latest("/fllws/" .. random_user() .. "?no=100"), HEADERS) end,
   fpost = follow_or_unfollow,
   latest = function() return wrk.format("GET", "/latest", HEADERS) end,
}

function WORK.mix()
   local share = math.random(100)
   if share <= 20 then return WORK.msgs() end
   if share <= 40 then return WORK.umsgs() end
   if share <= 70 then return WORK.post() end
   if share <= 80 then return WORK.fllws() end
   return WORK.fpost()
end

function request()
   local work = WORK[kind]
   if work then return work() end
   return wrk.format("GET", kind, HEADERS)
end

-- Prints a line for programs after wrk's own output, with latencies in microseconds.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'result {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"errors":%d}\n',
      summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), latency.max,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
