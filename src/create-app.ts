import { ConsoleLogger, type INestApplication, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { AppConfig } from './app.config.js';
import { AppModule } from './app.module.js';
import { MAX_INPUT_BYTES } from './runs/accepting/run-request.js';

/** JSON may need two bytes for one of the input's: a line break becomes `\n`. Text with more escapes than that is refused by size. */
const MAX_BODY_BYTES = 2 * MAX_INPUT_BYTES + 64 * 1024;

/** The service, listening. @throws what a module could not start with, or `EADDRINUSE`. */
export async function createApp(
  config: AppConfig,
  logger: LoggerService | false = consoleLogger(config),
): Promise<INestApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.forRoot(config), {
    abortOnError: false,
    bodyParser: false,
    forceCloseConnections: false,
    logger,
  });
  app.useBodyParser('json', { limit: MAX_BODY_BYTES });
  app.disable('x-powered-by');
  app.enableShutdownHooks();
  try {
    await app.listen(config.port, config.host);
  } catch (error) {
    await app.close();
    throw error;
  }
  return app;
}

function consoleLogger({ logFormat }: AppConfig): LoggerService {
  return new ConsoleLogger({ json: logFormat === 'json', colors: logFormat === 'text' });
}
