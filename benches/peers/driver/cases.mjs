// The cases. Each is run for a user of its own whose access token has expired.

const at = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const storm = (callers) => (visitor) => visitor.callAtOnce(callers);

const leaderLeaves = (milliseconds) => async (visitor) => {
  const leader = visitor.callAndLeave(milliseconds);
  await at(10);
  const others = await visitor.callAtOnce(49);
  await leader;
  return others;
};

const logOut = (milliseconds) => async (visitor) => {
  const answers = visitor.callAtOnce(50);
  await at(milliseconds);
  await visitor.logOut();
  return answers;
};

export const cases = {
  a50: { title: '50 at once, provider 100 ms', callers: 50, delay: 100, act: storm(50) },
  a500: { title: '500 at once, provider 100 ms', callers: 500, delay: 100, act: storm(500) },
  b50: { title: '50 at once, provider 3 s', callers: 50, delay: 3000, act: storm(50) },
  c30: { title: 'leader leaves at 30 of 300 ms', callers: 50, delay: 300, act: leaderLeaves(30) },
  c200: { title: 'leader leaves at 200 of 300 ms', callers: 50, delay: 300, act: leaderLeaves(200) },
  d503: { title: 'provider answers 503 once', callers: 50, delay: 100, outage: 1, act: storm(50) },
  e30: { title: 'log out at 30 of 500 ms', callers: 50, delay: 500, logsOut: true, act: logOut(30) },
  e350: { title: 'log out at 350 of 500 ms', callers: 50, delay: 500, logsOut: true, act: logOut(350) },
  two: { title: 'two processes, 25 each', callers: 50, delay: 100, processes: 2, act: storm(50) },
};

export const THROUGHPUT = 'wrk';
