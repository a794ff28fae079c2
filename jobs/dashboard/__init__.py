"""The operators' pages, inside the admin: queues, jobs, schedules, dead letters, running a task.

Pages are GET and change nothing; acts are POST and answer with a redirect. Everything works without
JavaScript; ``static/jobs/live.js`` only fetches what stands in ``data-live`` again and swaps it.
"""
