# The reference service, for any role: BATON_ROLE decides. Not built in CI, which has no container engine;
# test/house/compose.spec.ts checks what can be checked without one.

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app

# What decides the dependencies comes first, so that a change of the sources does not install them again.
COPY package.json package-lock.json .npmrc ./
COPY libs/core/package.json libs/core/
COPY libs/ingest/package.json libs/ingest/
COPY libs/pg-stream/package.json libs/pg-stream/
COPY libs/redis-reconcile/package.json libs/redis-reconcile/
COPY libs/testing/package.json libs/testing/
COPY libs/webhook-outbox/package.json libs/webhook-outbox/
# No package needs its install script here: those that have one bring a Postgres for tests, or native extras.
RUN npm ci --ignore-scripts --no-audit --no-fund

COPY tsconfig.json tsconfig.build.json nest-cli.json ./
COPY libs libs
COPY src src
# All that the service runs on are dependencies of its own: peers and options of the libs would bring the testing kit's engines.
RUN npm run build && npm prune --omit=dev --omit=optional --omit=peer --ignore-scripts --no-audit --no-fund

FROM node:20.20.2-bookworm-slim AS service
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
# node_modules/@nest-baton holds links to these.
COPY --from=build /app/libs libs
COPY --from=build /app/dist dist

# The account that the image brings; nothing under /app is writable for it.
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
# Says that the process answers; whether it can keep its promises is /health/ready, which an orchestrator asks.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.BATON_PORT || 3000}/health/live`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node is the first process, so that SIGTERM reaches it: no npm and no shell in between.
CMD ["node", "--enable-source-maps", "dist/main.js"]
