-- One kind of work for wrk, or the mix of them:
--   wrk -t2 -c64 -d10s --latency -s bench/load.lua http://127.0.0.1:5010 -- KIND [LATEST [USERS]]
-- KIND    msgs, umsgs, post, fllws, fpost, latest, mix, or a path to GET
-- LATEST  1: every request brings a `latest`, as the simulator's do (the default); 0: none does
-- USERS   user1 … user<USERS> write and follow, the 400 after them are followed (5000 by default)

local HEADERS = {
   ["Authorization"] = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh",
   ["Content-Type"] = "application/json",
}
local MESSAGE = '{"content":"a message of ordinary length, as people write them between two others."}'
-- How many follows stand before the first of them is taken back.
local STANDING = 2000
-- Each thread has targets of its own, so that no two threads follow the same pair.
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

-- The path with a `latest` behind it, one further than the thread's last.
local function moving(path)
   if not with_latest then return path end
   moves = moves + 1
   return path .. (path:find("?", 1, true) and "&" or "?") .. "latest=" .. moves
end

local function someone()
   return "user" .. math.random(users)
end

local pairs_drawn = 0
local taking_back = false

-- The n-th pair is another for 200 times as many n as there are users.
local function pair(n)
   local target = thread * TARGETS_PER_THREAD + math.floor(n / users) % TARGETS_PER_THREAD
   return "user" .. (n % users + 1), "user" .. (users + 1 + target)
end

-- Follows; once enough of them stand, every second call takes the oldest back.
local function follow_or_unfollow()
   taking_back = not taking_back and pairs_drawn > STANDING
   local verb, who, whom
   if taking_back then
      verb, who, whom = "unfollow", pair(pairs_drawn - STANDING)
   else
      pairs_drawn = pairs_drawn + 1
      verb, who, whom = "follow", pair(pairs_drawn)
   end
   return wrk.format("POST", moving("/fllws/" .. who), HEADERS, '{"' .. verb .. '":"' .. whom .. '"}')
end

local WORK = {
   msgs = function() return wrk.format("GET", moving("/msgs?no=100"), HEADERS) end,
   umsgs = function() return wrk.format("GET", moving("/msgs/" .. someone() .. "?no=100"), HEADERS) end,
   post = function() return wrk.format("POST", moving("/msgs/" .. someone()), HEADERS, MESSAGE) end,
   fllws = function() return wrk.format("GET", moving("/fllws/" .. someone() .. "?no=100"), HEADERS) end,
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

-- One line for programs to read, after what wrk prints for people: latencies in microseconds.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'result {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"errors":%d}\n',
      summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), latency.max,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
